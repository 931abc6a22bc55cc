"""Ports of loopback for servers that are yet to start: each is given once, and to nobody else.

A port that was free a moment ago is a port that somebody else may have by now. The system hands
out its own for outgoing connections, and to who binds port 0, from a range of theirs; these lie
below it, so that a server finds its port free, also when it starts a second time.
"""

import contextlib
import itertools
import secrets
import socket

# Below those of Linux (32768 and up), and of macOS and Windows (49152); above what services have.
PORTS = range(10_240, 32_768)
TRIES_MAX = 100  # Of so many, one in a few is taken at worst.

# Processes that choose at the same time begin at different places.
_next = itertools.count(secrets.randbelow(len(PORTS)))


def choose_port(address: str = "127.0.0.1") -> int:
    """Return one that is free for TCP and for UDP, and that this process has not been given yet.

    Raises OSError where there is none: something holds thousands of them.
    """
    for _ in range(TRIES_MAX):
        port = PORTS[next(_next) % len(PORTS)]
        with (
            contextlib.suppress(OSError),
            socket.create_server((address, port)),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
        ):
            udp.bind((address, port))
            return port
    raise OSError(f"no port of {address} is free between {PORTS.start} and {PORTS.stop}")
