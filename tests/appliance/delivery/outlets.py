"""What the tests of outlets share: a pair of sockets, and a file of random bytes."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

CONTENT = random.Random(3).randbytes(700_001)


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets of small buffers, neither of which blocks."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for each in (ours, theirs):
            each.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        yield ours, theirs


def drain(theirs: socket.socket) -> bytes:
    """All that has come."""
    came = bytearray()
    try:
        while chunk := theirs.recv(1 << 16):
            came += chunk
    except BlockingIOError:
        pass
    return bytes(came)
