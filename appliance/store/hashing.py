"""sha256 and checksums over what lies on disk, and over what is on its way there, in one pass.

isal's crc32 costs a fiftieth of what sha256 does, where zlib's would cost a third.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from isal.isal_zlib import crc32

from appliance.protocol.digest import Digest
from appliance.store.records import CHECKED_SPAN_BYTES, Checksums

CHUNK_SIZE_BYTES = 256 * 1024  # Measured: buffers of 1 MiB and more cost a storm of page faults.


class PrefixHash:
    """A running digest of a file's beginning, fed as bytes land and caught up from disk."""

    def __init__(self, start: int = 0) -> None:
        """Begin at the offset `start`, and count spans from there."""
        self._sha256 = hashlib.sha256()
        self._crc32s: list[int] = []
        self._start = start
        self.position = start

    def feed(self, offset: int, chunk: memoryview) -> None:
        """Take `chunk` if it continues the prefix; otherwise it will be read back later."""
        if offset == self.position:
            self._sha256.update(chunk)
            while chunk:
                chunk = chunk[self._sum(chunk) :]

    def catch_up(self, fd: int, stop: int) -> None:
        """Read from `fd` what was not fed, up to `stop` or the end of the file."""
        buffer = bytearray(min(CHUNK_SIZE_BYTES, max(0, stop - self.position)))
        view = memoryview(buffer)
        while self.position < stop:
            size_bytes = os.preadv(fd, [view[: stop - self.position]], self.position)
            if size_bytes == 0:
                return
            self.feed(self.position, view[:size_bytes])

    def digest(self) -> Digest:
        """The digest of the bytes before `position`."""
        return Digest(self._sha256.hexdigest())

    def checksums(self) -> Checksums:
        """The checksums of the bytes before `position`."""
        return Checksums(self.position - self._start, tuple(self._crc32s))

    def _sum(self, chunk: memoryview) -> int:
        """Add what of `chunk` belongs to one span; return how many bytes that was."""
        within = (self.position - self._start) % CHECKED_SPAN_BYTES
        if within == 0:
            self._crc32s.append(0)
        piece = chunk[: CHECKED_SPAN_BYTES - within]
        self._crc32s[-1] = crc32(piece, self._crc32s[-1])
        self.position += len(piece)
        return len(piece)


def hash_file(path: Path, note_read: Callable[[int], None] = lambda size_bytes: None) -> PrefixHash:
    """Hash all of `path`; `note_read` hears now and then how many more bytes were read. Blocks."""
    with path.open("rb", buffering=0) as file:
        prefix = PrefixHash()
        size_bytes = os.fstat(file.fileno()).st_size
        while (before := prefix.position) < size_bytes:
            prefix.catch_up(file.fileno(), min(before + CHECKED_SPAN_BYTES, size_bytes))
            if prefix.position == before:
                break  # It was cut short meanwhile.
            note_read(prefix.position - before)
        return prefix
