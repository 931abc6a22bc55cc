"""Names for the demo: a tiny DNS server on loopback, and the question a client asks of any."""

import asyncio
import ipaddress
import secrets
import socket
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSError, DNSRecord

TTL_SECONDS = 30
ANSWER_SIZE_BYTES_MAX = 4096
TRIES = 2  # Go's resolver asks twice.
TIMEOUT_SECONDS = 5.0  # As long as Go's resolver waits for an answer.

Zone = Mapping[str, tuple[str, ...]]


class NameUnknownError(Exception):
    """There is no such name, or it has no address."""

    hint = "check that the name is spelt right and that this DNS server answers for it"


class NameServerError(Exception):
    """The DNS server gave no answer that can be used."""

    hint = "check that the DNS server runs and is reachable"


class NameServer:
    """Answers A and AAAA of `zone` over UDP and TCP on one port, NXDOMAIN for all else."""

    def __init__(self, zone: Zone, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self.zone: dict[str, tuple[str, ...]] = dict(zone)
        self.address = address
        self.port = port
        self.asked: Counter[tuple[str, str]] = Counter()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._conversations: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        udp, tcp = open_pair(self.address, self.port)
        self.port = udp.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._udp is not None, "it was entered"
        assert self._tcp is not None, "it was entered"
        self._udp.close()
        self._tcp.close()
        for each in tuple(self._conversations):
            each.close()
        await self._tcp.wait_closed()

    def answer(self, message: bytes) -> bytes | None:
        """The reply to a DNS message; None for what is none."""
        try:
            question = DNSRecord.parse(message)
        except DNSError:
            return None
        name, kind = str(question.q.qname).rstrip(".").lower(), QTYPE[question.q.qtype]
        self.asked[name, kind] += 1
        reply = question.reply()
        if name not in self.zone:
            reply.header.rcode = RCODE.NXDOMAIN
        for address in self.zone.get(name, ()):
            record = A(address) if ipaddress.ip_address(address).version == 4 else AAAA(address)
            if type(record).__name__ == kind:
                rtype = getattr(QTYPE, kind)
                reply.add_answer(RR(question.q.qname, rtype, ttl=TTL_SECONDS, rdata=record))
        return bytes(reply.pack())

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._conversations.add(writer)
        try:
            while True:
                size_bytes = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.answer(await reader.readexactly(size_bytes))
                if reply is None:
                    break
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._conversations.discard(writer)
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    """The server's UDP side."""

    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport), "it is UDP"
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.answer(data)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)


def open_pair(address: str, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """A bound UDP socket and a listening TCP one on the same port, any free one for 0."""
    for _ in range(100):  # A free UDP port may be taken for TCP; seldom twice.
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            udp.bind((address, port))
            tcp.bind((address, udp.getsockname()[1]))
            tcp.listen()
        except OSError:
            udp.close()
            tcp.close()
            if port:
                raise
        else:
            return udp, tcp
    raise OSError("no port is free for both UDP and TCP")


def resolve(server: tuple[str, int], name: str, own_address: str | None = None) -> list[str]:
    """Ask a DNS server for the A and AAAA of `name`: IPv6 first, as Go prefers. Blocks.

    The question comes from `own_address`, if there is one.

    Raises:
        NameUnknownError: the name does not exist or has no address.
        NameServerError: no usable answer.
    """
    found = [each for kind in ("AAAA", "A") for each in _ask(server, name, kind, own_address)]
    if not found:
        raise NameUnknownError("no such host")
    return found


def _ask(server: tuple[str, int], name: str, kind: str, own_address: str | None) -> list[str]:
    question = DNSRecord.question(name, kind)
    question.header.id = secrets.randbelow(2**16)
    for _ in range(TRIES):
        reply = _exchange(server, bytes(question.pack()), own_address)
        if reply is not None and reply.header.id == question.header.id:
            return _addresses(reply, kind)
    raise NameServerError("i/o timeout")


def _exchange(server: tuple[str, int], message: bytes, own_address: str | None) -> DNSRecord | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        try:
            if own_address is not None:
                connection.bind((own_address, 0))
            connection.connect(server)
            connection.send(message)
            return DNSRecord.parse(connection.recv(ANSWER_SIZE_BYTES_MAX))
        except TimeoutError:
            return None
        except (OSError, DNSError) as error:
            raise NameServerError(f"read udp {server[0]}:{server[1]}: {error}") from error


def _addresses(reply: DNSRecord, kind: str) -> list[str]:
    if reply.header.rcode not in (RCODE.NOERROR, RCODE.NXDOMAIN):
        raise NameServerError("server misbehaving")
    return [str(each.rdata) for each in reply.rr if QTYPE[each.rtype] == kind]
