"""What the box did, counted: everything statistics are made of.

Counts go to the ledger in steps, so that totals survive restarts and no request waits for a disk.
"""

import threading
from collections import Counter
from collections.abc import Callable
from enum import StrEnum


class Count(StrEnum):
    """A thing worth counting. Values are ledger keys: never reuse one for another thing."""

    MANIFEST_HITS = "manifest_hits"
    MANIFEST_REVALIDATIONS = "manifest_revalidations"
    MANIFEST_MISSES = "manifest_misses"
    MANIFEST_STALE = "manifest_stale"
    BLOB_HITS = "blob_hits"
    BLOB_MISSES = "blob_misses"
    SERVED_BYTES = "served_bytes"  # Blob bytes to clients.
    FETCHED_BYTES = "fetched_bytes"  # Blob bytes from the origin.
    UNASKED_BYTES = "unasked_bytes"  # Of those, what no client waited for: wished for ahead.
    FILLS = "fills"  # Blobs completed.
    MISMATCHES = "mismatches"  # Blobs whose bytes were not their digest's.
    UNCACHED = "uncached"  # Bodies streamed past the store, for lack of space.
    EVICTIONS = "evictions"  # Manifests let go of, with what only they listed.
    EVICTED_BYTES = "evicted_bytes"
    SCRUBBED_BYTES = "scrubbed_bytes"  # Read again, to see whether they are still right.
    DAMAGED = "damaged"  # Blobs that were right once, and then were not.
    MENDED = "mended"  # And are again.
    MENDED_BYTES = "mended_bytes"  # What of them was wrong, or stood beside what was.
    DEFERRED = "deferred"  # Pulls sent on to the origin, for lack of an acceptable URL.


class Tally:
    """Counts since the start, and those not yet in the ledger. Any thread may count and save."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # A save swaps what another thread is adding to.
        self.since_start: Counter[str] = Counter()
        self._unsaved: Counter[str] = Counter()

    def add(self, count: Count, number: int = 1) -> None:
        with self._lock:
            self.since_start[count.value] += number
            self._unsaved[count.value] += number

    def save(self, write: Callable[[dict[str, int]], None]) -> None:
        """Hand what is unsaved to `write`; keep it if that raises."""
        with self._lock:
            unsaved, self._unsaved = self._unsaved, Counter()
        if not unsaved:
            return
        try:
            write(dict(unsaved))
        except BaseException:
            with self._lock:
                self._unsaved.update(unsaved)
            raise
