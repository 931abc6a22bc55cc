"""What operators want done without them: the models wished for, and whether to wait with it."""

from appliance.protocol.reference import Reference
from appliance.store.ledger import Ledger


class Agenda:
    """The part of the ledger that tells what is still to do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def is_paused(self) -> bool:
        """Whether nothing is to be downloaded that no client waits for."""
        return self._ledger.is_paused

    def pause(self, *, is_paused: bool) -> None:
        """Remember that. Blocks."""
        self._ledger.pause(is_paused=is_paused)

    def wish(self, reference: Reference, at: float) -> None:
        """Remember that `reference` is to be fetched ahead of time. Blocks."""
        self._ledger.wish(reference, int(at))

    def unwish(self, reference: Reference) -> None:
        """Forget that, if it was so. Blocks."""
        self._ledger.unwish(reference)

    def wishes(self) -> list[str]:
        """The texts of the references that are to be fetched, the oldest wish first."""
        return self._ledger.wishes()
