"""The way out of a body over TLS: read, sealed and written by the thread that was lent the session.

Theory of operation. A chunk of the file is read into the thread's own buffer and sealed into
records at once, which the socket then takes in its own time: a record that is made must leave
before the next, because the session has counted it. So a job holds at most one chunk that is
sealed and not yet out, and its bytes count as sent when the last of them is.
"""

import os
import select
from typing import Protocol

# Smaller ones cost calls; larger ones leave the CPU's cache between read, seal and write, and each
# connection keeps a buffer in OpenSSL for as much as was ever sealed at once.
CHUNK_BYTES = 128 * 1024


class Session(Protocol):
    """An open TLS session whose records go to memory."""

    def seal(self, plaintext: memoryview) -> bytes:
        """All the records of `plaintext`. Raises OSError if the session is broken."""
        ...


class TlsOutlet:
    """Sends a file over TLS. Owns `out_fd`, which the pump closes; `session` is lent to it."""

    # Nobody who has closed a TLS connection's one side listens on the other.
    gone_events = select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP

    def __init__(self, out_fd: int, session: Session) -> None:
        self.out_fd = out_fd
        self._session = session
        self._sealed = memoryview(b"")  # What is not out yet of the chunk under way,
        self._chunk_bytes = 0  # and how much of the file it is.

    @property
    def is_cut(self) -> bool:
        """Whether the body ended inside a chunk: nothing can follow on this session."""
        return len(self._sealed) > 0

    def send(self, file_fd: int, position: int, count: int, buffer: memoryview) -> int:
        if not self._sealed:
            plaintext = buffer[: min(count, CHUNK_BYTES)]
            read = os.preadv(file_fd, [plaintext], position)
            if read == 0:
                raise EOFError("the file is shorter than its record says")
            self._sealed = memoryview(self._session.seal(plaintext[:read]))
            self._chunk_bytes = read
        written = os.write(self.out_fd, self._sealed)
        self._sealed = self._sealed[written:]
        return 0 if self._sealed else self._chunk_bytes
