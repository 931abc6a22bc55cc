"""What each client was given, on its way to the ledger, where the operator wants that kept."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

PULLS, SERVED_BYTES = "pulls", "served_bytes"  # Ledger keys: never reuse one for another thing.

type Counts = Mapping[str, Mapping[str, int]]  # Address, then what is counted.


class ClientAccounts:
    """Counts by address that are not yet in the ledger. Any thread may count and save."""

    def __init__(self, *, is_kept: bool) -> None:
        """Unless `is_kept`, nothing is noted: no address is remembered here or on disk."""
        self.is_kept = is_kept
        self._lock = threading.Lock()  # A save swaps what another thread is adding to.
        self._unsaved: dict[str, Counter[str]] = {}

    def note_pull(self, address: str) -> None:
        """A client began to pull a model."""
        self._add(address, PULLS, 1)

    def note_served(self, address: str, size_bytes: int) -> None:
        """So many bytes of blobs went out to it."""
        self._add(address, SERVED_BYTES, size_bytes)

    def save(self, write: Callable[[Counts], None]) -> None:
        """Hand what is unsaved to `write`; keep it if that raises."""
        with self._lock:
            unsaved, self._unsaved = self._unsaved, {}
        if not unsaved:
            return
        try:
            write(unsaved)
        except BaseException:
            for address, counts in unsaved.items():
                for name, number in counts.items():
                    self._add(address, name, number)
            raise

    def _add(self, address: str, name: str, number: int) -> None:
        if self.is_kept:
            with self._lock:
                self._unsaved.setdefault(address, Counter())[name] += number
