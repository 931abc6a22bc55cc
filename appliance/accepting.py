"""Connections that wait at a door, all taken each time the loop looks.

uvloop takes one in each turn of the loop. A turn lasts milliseconds while a blob arrives for many
readers, and a class of thirty opens 480 connections within one: the last of them waited for as many
turns (`make bench ONLY=CLASSROOM`).
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable

BACKLOG = 1024  # A classroom that starts at once; the system caps it at somaxconn.
ACCEPTED_MAX = 64  # In one turn: some milliseconds, and then everybody else's.
SHARED_ACCEPTED_MAX = 1  # Where processes share the sockets: whoever is free takes the next.
PAUSE_SECONDS = 1.0  # Where none can be taken, for want of descriptors, say; who waits goes on.
STREAM_BYTES_MAX = 64 * 1024  # What a stream holds before its socket is read no more: asyncio's.

type Meet = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_log = logging.getLogger("doors")


class Acceptor:
    """Takes the connections of listening sockets, until it is closed."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        make: Callable[[], asyncio.BaseProtocol],
        *,
        accepted_max: int = ACCEPTED_MAX,
    ) -> None:
        """Take over bound `sockets`. `make` makes a connection's protocol.

        `accepted_max` is how many are taken in one turn of the loop.
        """
        self._loop = asyncio.get_running_loop()
        self._sockets = tuple(sockets)
        self._make = make
        self._accepted_max = accepted_max
        self._greeting: set[asyncio.Task[None]] = set()
        self._pauses: dict[socket.socket, asyncio.TimerHandle] = {}
        self.is_open = True
        for each in self._sockets:
            each.setblocking(False)
            each.listen(BACKLOG)
            self._loop.add_reader(each, self._accept, each)

    def close(self) -> None:
        """Take no more, and close the sockets; what was taken goes on."""
        self.is_open = False
        for each in self._sockets:
            self._loop.remove_reader(each)
            each.close()
        for pause in self._pauses.values():
            pause.cancel()

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(self._accepted_max):
            try:
                accepted, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(listening, error)
                return
            accepted.setblocking(False)
            task = self._loop.create_task(self._greet(accepted))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _greet(self, accepted: socket.socket) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not.
            await self._loop.connect_accepted_socket(self._make, accepted)
        except OSError:
            accepted.close()  # Who came has left already.

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        _log.error("no connection can be taken for a second: %s", error)
        self._loop.remove_reader(listening)
        self._pauses[listening] = self._loop.call_later(PAUSE_SECONDS, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        del self._pauses[listening]
        self._loop.add_reader(listening, self._accept, listening)


def accept_streams(
    sockets: Iterable[socket.socket],
    meet: Meet,
    *,
    limit: int = STREAM_BYTES_MAX,
    accepted_max: int = ACCEPTED_MAX,
) -> Acceptor:
    """Have `meet` serve each connection, on a task, as `asyncio.start_server` does."""
    loop = asyncio.get_running_loop()

    def make() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, meet, loop=loop)

    return Acceptor(sockets, make, accepted_max=accepted_max)
