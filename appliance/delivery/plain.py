"""The way out of a body in the clear: from the page cache to the socket, without a copy."""

import os
import select

CALL_BYTES_MAX = 1024 * 1024  # A sendfile this long holds no lock and fits in any socket's buffer.


class PlainOutlet:
    """Sends a file with sendfile. Owns `out_fd`; the pump closes it."""

    gone_events = select.EPOLLERR | select.EPOLLHUP  # A client may say nothing more, and listen.

    def __init__(self, out_fd: int) -> None:
        self.out_fd = out_fd

    def send(self, file_fd: int, position: int, count: int, _: memoryview) -> int:
        sent = os.sendfile(self.out_fd, file_fd, position, min(count, CALL_BYTES_MAX))
        if sent == 0:
            raise EOFError("the file is shorter than its record says")
        return sent
