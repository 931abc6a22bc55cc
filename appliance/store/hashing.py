"""sha256 over what lies on disk, and over what is on its way there."""

import hashlib
import os
from pathlib import Path

from appliance.protocol.digest import Digest

CHUNK_SIZE_BYTES = 256 * 1024  # Measured: buffers of 1 MiB and more cost a storm of page faults.


class PrefixHash:
    """A running digest of a file's beginning, fed as bytes land and caught up from disk."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.position = 0

    def feed(self, offset: int, chunk: memoryview) -> None:
        """Take `chunk` if it continues the prefix; otherwise it will be read back later."""
        if offset == self.position:
            self._sha256.update(chunk)
            self.position += len(chunk)

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


def digest_of_file(path: Path) -> Digest:
    """Hash all of `path`. Blocks for as long as reading takes."""
    with path.open("rb", buffering=0) as file:
        prefix = PrefixHash()
        prefix.catch_up(file.fileno(), os.fstat(file.fileno()).st_size)
        return prefix.digest()
