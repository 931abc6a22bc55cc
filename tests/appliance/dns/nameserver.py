"""A real DNS server on loopback, by UDP and TCP, that answers whatever a test says."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

from dnslib import QTYPE, RCODE, RR, DNSRecord

from appliance.dns.server import bind_both

Respond = Callable[[bytes, bool], bytes | None]
"""The packet that came, and whether by TCP, to the packet to answer with, or None."""


class NameServer(asyncio.DatagramProtocol):
    """Listens while entered, and remembers what it was asked and from which ports."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.heard: list[bytes] = []
        self.ports: list[int] = []
        self._is_closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        udp, tcp = bind_both("127.0.0.1", 0)
        self.at: tuple[str, int] = udp.getsockname()
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, sock=udp)
        self._tcp = await asyncio.start_server(self._converse, sock=tcp)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._udp.close()
        self._tcp.close()
        await self._tcp.wait_closed()
        await self._is_closed.wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closed.set()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        self.ports.append(addr[1])
        if (reply := self._respond(data, False)) is not None:
            self.send(reply, addr)

    def send(self, reply: bytes, client: tuple[str, int]) -> None:
        self._udp.sendto(reply, client)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            packet = await reader.readexactly(size)
            self.heard.append(packet)
            if (reply := self._respond(packet, True)) is not None:
                writer.write(struct.pack("!H", len(reply)) + reply)
                await writer.drain()
        writer.close()


def zone(text: str) -> Respond:
    """Answer from records as a zone file has them; other names do not exist."""
    records = RR.fromZone(text)

    def respond(packet: bytes, is_tcp: bool) -> bytes:
        query = DNSRecord.parse(packet)
        reply = query.reply(aa=0)
        name = query.q.qname
        for _ in range(10):
            here = [each for each in records if each.rname == name]
            reply.add_answer(*(each for each in here if each.rtype == query.q.qtype))
            links = [each for each in here if each.rtype == QTYPE.CNAME]
            if not links:
                break
            reply.add_answer(links[0])
            name = links[0].rdata.label
        if not any(each.rname == query.q.qname for each in records):
            reply.header.rcode = RCODE.NXDOMAIN
        return truncated(reply) if not is_tcp and len(reply.pack()) > 512 else bytes(reply.pack())

    return respond


def truncated(reply: DNSRecord) -> bytes:
    reply.rr.clear()
    reply.header.tc = 1
    return bytes(reply.pack())


def failing(code: str) -> Respond:
    """Answer everything with this response code."""

    def respond(packet: bytes, is_tcp: bool) -> bytes:
        reply = DNSRecord.parse(packet).reply(aa=0)
        reply.header.rcode = getattr(RCODE, code)
        return bytes(reply.pack())

    return respond


def silence(packet: bytes, is_tcp: bool) -> None:
    """Never answer."""


def by_name(answers: Mapping[str, Respond]) -> Respond:
    """Answer each name in its own way."""

    def respond(packet: bytes, is_tcp: bool) -> bytes | None:
        name = str(DNSRecord.parse(packet).q.qname).lower().removesuffix(".")
        return answers[name](packet, is_tcp)

    return respond
