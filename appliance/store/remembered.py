"""Manifests in memory: a classroom asks for the same one a hundred times, and it has a kilobyte.

A content that was read and proven is given out again as long as its file is the same file, of the
same size and age: what somebody did to it in the meantime is then found as if it had been read.
"""

import os
from collections import OrderedDict
from pathlib import Path

from appliance.protocol.digest import Digest

SIZE_BYTES_MAX = 16 * 1024 * 1024  # Thousands of manifests, and four of the largest there may be.

type Identity = tuple[int, int, int]


def identify(status: os.stat_result) -> Identity:
    """What tells that a file is still the one that was read."""
    return status.st_ino, status.st_size, status.st_mtime_ns


class Remembered:
    """Contents by digest, those asked for last kept longest. For one thread."""

    def __init__(self, size_bytes_max: int = SIZE_BYTES_MAX) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._held: OrderedDict[Digest, tuple[Identity, bytes]] = OrderedDict()

    def find(self, digest: Digest, path: Path) -> bytes | None:
        """The content, if `path` still is the file that it came from. Takes microseconds."""
        held = self._held.get(digest)
        if held is None:
            return None
        try:
            is_same = identify(path.stat()) == held[0]
        except OSError:
            is_same = False
        if not is_same:
            self.forget(digest)
            return None
        self._held.move_to_end(digest)
        return held[1]

    def keep(self, digest: Digest, identity: Identity, content: bytes) -> None:
        """Remember what was read from the file of this identity, and proven."""
        self.forget(digest)
        self._held[digest] = (identity, content)
        self._size_bytes += len(content)
        while self._size_bytes > self._size_bytes_max:
            self.forget(next(iter(self._held)))

    def forget(self, digest: Digest) -> None:
        """Do not remember it; it may not have been remembered."""
        held = self._held.pop(digest, None)
        if held is not None:
            self._size_bytes -= len(held[1])
