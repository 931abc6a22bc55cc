"""Queries as clients send them."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

from dnslib import EDNS0, QTYPE, DNSHeader, DNSQuestion, DNSRecord

from appliance.dns.wire import Query, parse_query

REGISTRY = "registry.ollama.ai"
BLOBS = "ollama-blobs.home.arpa"


def packet(name: str, rtype: str = "A", *, udp_len: int = 0, identifier: int = 4660) -> bytes:
    record = DNSRecord(DNSHeader(id=identifier, rd=1), q=DNSQuestion(name, getattr(QTYPE, rtype)))
    if udp_len:
        record.add_ar(EDNS0(udp_len=udp_len))
    return bytes(record.pack())


def query(name: str, rtype: str = "A", *, udp_len: int = 0) -> Query:
    parsed = parse_query(packet(name, rtype, udp_len=udp_len))
    assert isinstance(parsed, Query)
    return parsed


def records(reply: object) -> list[str]:
    """The addresses (or other data) a reply gives; or the name of its error."""
    assert isinstance(reply, bytes)
    record = DNSRecord.parse(reply)
    code = record.header.rcode
    return [f"rcode {code}"] if code else [str(each.rdata) for each in record.rr]


async def by_udp(at: tuple[str, int], sent: bytes, source: str = "") -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        if source:
            sock.bind((source, 0))
        sock.connect(at)
        await loop.sock_sendall(sock, sent)
        return await loop.sock_recv(sock, 65535)


async def by_tcp(at: tuple[str, int], *sent: bytes) -> list[bytes]:
    """Send all at once on one connection, and read as many replies."""
    reader, writer = await asyncio.open_connection(*at)
    try:
        writer.write(b"".join(struct.pack("!H", len(each)) + each for each in sent))
        return [await read_message(reader) for _ in sent]
    finally:
        writer.close()
        await writer.wait_closed()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack("!H", await reader.readexactly(2))
    return await reader.readexactly(size)


async def gives(answer: list[str], at: tuple[str, int], name: str, source: str = "") -> bool:
    try:
        async with asyncio.timeout(1):
            return records(await by_udp(at, packet(name), source)) == answer
    except OSError:
        return False


async def until_true(ask: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again; what changes is another process, so that nothing here can tell when."""
    async with asyncio.timeout(15):
        while not await ask():  # noqa: ASYNC110  # There is no event to wait for.
            await asyncio.sleep(0.02)
