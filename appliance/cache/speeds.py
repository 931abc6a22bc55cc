"""How fast bytes moved, second by second: out to the network's machines, and in from the origin."""

from collections import deque
from dataclasses import dataclass

from appliance.cache.tally import Count, Tally

SPEEDS_MAX = 120  # One a second: the two minutes that somebody who watches still has in mind.


@dataclass(frozen=True, slots=True)
class Speed:
    """Bytes a second between two looks."""

    served: float
    fetched: float


class Speeds:
    """The speeds of late, from what the tally counts; `look` at it about once a second."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._seen = self._count()
        self._seen_at: float | None = None
        self._kept: deque[Speed] = deque(maxlen=SPEEDS_MAX)

    @property
    def kept(self) -> tuple[Speed, ...]:
        """Oldest first."""
        return tuple(self._kept)

    def look(self, clock: float) -> None:
        """Note what moved since the last look; `clock` is in seconds and never turns back."""
        counts = self._count()
        if self._seen_at is not None:
            seconds = clock - self._seen_at
            if seconds <= 0:
                return
            served, fetched = (
                (now - before) / seconds for now, before in zip(counts, self._seen, strict=True)
            )
            self._kept.append(Speed(served, fetched))
        self._seen, self._seen_at = counts, clock

    def _count(self) -> tuple[int, int]:
        counts = self._tally.since_start
        return counts[Count.SERVED_BYTES.value], counts[Count.FETCHED_BYTES.value]
