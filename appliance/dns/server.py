"""UDP and TCP sockets to questions and answers, one of each for every local address.

A wildcard UDP socket cannot tell which address was asked, and would answer from another; so each
address has its own, IPv6 ones for IPv6 only. Addresses come and go: `listen_at` opens what is new
and closes what has vanished.
"""

import asyncio
import errno
import socket
import struct
from collections import Counter
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Self

from appliance.dns.answerer import Answerer, Forwarded
from appliance.dns.forwarder import Forwarder
from appliance.dns.wire import QUERY_SIZE_BYTES_MAX

IDLE_SECONDS = 10.0  # RFC 7766 §6.2.3: a few seconds; dig and resolvers reuse within one.
CONNECTIONS_MAX = 128  # Each holds a descriptor, of the 1,024 that a process has by default.
CONNECTIONS_PER_CLIENT_MAX = 16  # A resolver keeps one or two; a burst of truncated answers more.
RECEIVE_SIZE_BYTES = 1024 * 1024  # A room's worth of questions at once; the system may give less.
PORT_TRIES_MAX = 16  # For a port the system chose by UDP, and that TCP must have too.


class DnsServer:
    """Answers at every address it is told to, until it is left."""

    def __init__(self, answerer: Answerer, forwarder: Forwarder, port: int) -> None:
        self._answerer = answerer
        self._forwarder = forwarder
        self._port = port
        self._doors: dict[str, _Door] = {}
        self._connections: Counter[str] = Counter()
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures: dict[str, OSError] = {}
        """Addresses that could not be bound when last tried."""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for door in self._doors.values():
            door.close()
        self._doors.clear()
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)  # Given the error, it would wrap it.

    @property
    def listening(self) -> tuple[tuple[str, int], ...]:
        return tuple((address, self._port) for address in self._doors)

    async def listen_at(self, addresses: Iterable[str]) -> None:
        """Listen at exactly these, as far as the system lets us; `failures` tells the rest."""
        wanted = tuple(dict.fromkeys(addresses))
        self.failures.clear()
        for address in self._doors.keys() - set(wanted):
            self._doors.pop(address).close()
        for address in wanted:
            if address in self._doors:
                continue
            try:
                self._doors[address] = await self._open(address)
            except OSError as error:
                self.failures[address] = error

    async def _open(self, address: str) -> "_Door":
        udp, tcp = bind_both(address, self._port)
        self._port = udp.getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self, address), sock=udp
        )
        server = await asyncio.start_server(
            lambda reader, writer: self._welcome(reader, writer, address), sock=tcp
        )
        return _Door(transport, server)

    def receive(self, packet: bytes, client: tuple[str, int], door: "_Datagrams") -> None:
        """Answer one datagram, now or when somebody else has."""
        outcome = self._answerer.answer(packet, client[0], door.address)
        if isinstance(outcome, Forwarded):
            self._spawn(self._forward(outcome, client, door))
        elif outcome is not None:
            door.send(outcome, client)

    async def _forward(
        self, forwarded: Forwarded, client: tuple[str, int], door: "_Datagrams"
    ) -> None:
        reply = await self._forwarder.forward(
            forwarded.query, client[0], is_tcp=False, is_brief=forwarded.is_brief
        )
        door.send(reply, client)

    def _welcome(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        peer = writer.get_extra_info("peername")
        client = peer[0] if peer else ""
        is_full = self._connections.total() >= CONNECTIONS_MAX
        if not client or is_full or self._connections[client] >= CONNECTIONS_PER_CLIENT_MAX:
            writer.transport.abort()
            return
        self._connections[client] += 1
        self._spawn(self._converse(reader, writer, client, address))

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: str,
        address: str,
    ) -> None:
        """Answer the messages of one connection, one after the other."""
        writer.transport.set_write_buffer_limits(0)  # So that drain waits for the last byte.
        try:
            while packet := await _read_message(reader):
                reply = await self._answer_stream(packet, client, address)
                if reply is None:
                    break
                writer.write(struct.pack("!H", len(reply)) + reply)
                async with asyncio.timeout(IDLE_SECONDS):
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # The client left, or fell silent: nobody is there to be told.
        finally:
            writer.transport.abort()
            self._connections[client] -= 1
            self._connections += Counter()  # Forgets clients that have none left.

    async def _answer_stream(self, packet: bytes, client: str, address: str) -> bytes | None:
        outcome = self._answerer.answer(packet, client, address)
        if isinstance(outcome, Forwarded):
            return await self._forwarder.forward(
                outcome.query, client, is_tcp=True, is_brief=outcome.is_brief
            )
        return outcome

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Door:
    """Both sockets of one address."""

    def __init__(self, udp: asyncio.DatagramTransport, tcp: asyncio.Server) -> None:
        self._udp = udp
        self._tcp = tcp

    def close(self) -> None:
        self._udp.close()
        self._tcp.close()


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP socket."""

    def __init__(self, server: DnsServer, address: str) -> None:
        self.address = address
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.receive(data, addr, self)

    def send(self, reply: bytes, client: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(reply, client)


async def _read_message(reader: asyncio.StreamReader) -> bytes | None:
    """The next message; None at the end, or where it is larger than any query.

    Raises:
        TimeoutError: the client fell silent.
    """
    async with asyncio.timeout(IDLE_SECONDS):
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(size) if size <= QUERY_SIZE_BYTES_MAX else None


def bind_both(address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A UDP and a TCP socket at one address and port; port 0 lets the system choose.

    Raises:
        OSError: one of them cannot be had; then there is neither.
    """
    for _ in range(PORT_TRIES_MAX):
        udp = _bound(address, port, socket.SOCK_DGRAM)
        try:
            return udp, _bound(address, udp.getsockname()[1], socket.SOCK_STREAM)
        except OSError as error:
            udp.close()
            if port or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free for both UDP and TCP")


def _bound(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    flags = socket.AI_NUMERICHOST
    family, _, _, _, where = socket.getaddrinfo(address, port, type=kind, flags=flags)[0]
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_SIZE_BYTES)
        sock.setblocking(False)
        sock.bind(where)
    except OSError:
        sock.close()
        raise
    return sock
