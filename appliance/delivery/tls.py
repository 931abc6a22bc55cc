"""The way out of a body over TLS: read, sealed and written by the thread that was lent the session.

Theory of operation. A chunk of the file is read into the thread's own buffer and sealed into
records at once, which the socket then takes in its own time: a record that is made must leave
before the next, because the session has counted it. So a job holds at most one chunk that is
sealed and not yet out, and its bytes count as sent when the last of them is.

Both the chunk and its records lie in memory that the thread uses over and over. Memory of their own
for each, though freed at once, the system would give page by page, every time anew.
"""

import os
import select
from typing import Protocol

# Smaller ones cost calls; larger ones leave the CPU's cache between read, seal and write, and each
# connection keeps a buffer in OpenSSL for as much as was ever sealed at once.
CHUNK_BYTES = 128 * 1024

# A record carries 16 KiB (RFC 8446 §5.1), and its frame is at most 5 + 8 + 16 bytes with our
# ciphers of TLS 1.2, and fewer in 1.3.
_RECORD_BYTES = 16 * 1024
_FRAME_BYTES_MAX = 64


def sealed_bytes_max(plaintext_bytes: int) -> int:
    """More than the records of so many bytes take, with any that wait before them."""
    return plaintext_bytes + (plaintext_bytes // _RECORD_BYTES + 2) * _FRAME_BYTES_MAX


BUFFER_BYTES = CHUNK_BYTES + sealed_bytes_max(CHUNK_BYTES)  # What a thread needs for both.


class Session(Protocol):
    """An open TLS session whose records go to memory."""

    def seal_into(self, sealed: memoryview, plaintext: memoryview) -> int:
        """Write all the records of `plaintext` to `sealed`; return how many bytes they are.

        `sealed` has room for `sealed_bytes_max`. Raises OSError if the session is broken.
        """
        ...


class TlsOutlet:
    """Sends a file over TLS. Owns `out_fd`, which the pump closes; `session` is lent to it."""

    # Nobody who has closed a TLS connection's one side listens on the other.
    gone_events = select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP

    def __init__(self, out_fd: int, session: Session) -> None:
        self.out_fd = out_fd
        self._session = session
        self._left = memoryview(b"")  # What is sealed and not out yet of the chunk under way,
        self._chunk_bytes = 0  # and how much of the file it is.

    @property
    def is_cut(self) -> bool:
        """Whether the body ended inside a chunk: nothing can follow on this session."""
        return len(self._left) > 0

    def send(self, file_fd: int, position: int, count: int, buffer: memoryview) -> int:
        if self._left:
            self._left = self._left[os.write(self.out_fd, self._left) :]
            return 0 if self._left else self._chunk_bytes
        plaintext, sealed = buffer[: min(count, CHUNK_BYTES)], buffer[CHUNK_BYTES:]
        self._chunk_bytes = os.preadv(file_fd, [plaintext], position)
        if self._chunk_bytes == 0:
            raise EOFError("the file is shorter than its record says")
        sealed_bytes = self._session.seal_into(sealed, plaintext[: self._chunk_bytes])
        try:
            written = os.write(self.out_fd, sealed[:sealed_bytes])
        except BlockingIOError:
            written = 0
        if written == sealed_bytes:
            return self._chunk_bytes
        self._left = memoryview(bytes(sealed[written:sealed_bytes]))  # `buffer` goes to the next.
        return 0
