"""One question to one DNS server, and all of the answer that a diagnosis needs."""

import asyncio
import os

from dnslib import QTYPE, RCODE, DNSHeader, DNSLabel, DNSQuestion, DNSRecord

from appliance.policy.symptoms import SILENT, Reply, Told
from appliance.upstream.exchange import Server, exchange_tcp, exchange_udp
from appliance.upstream.resolver import UNREADABLE

ASK_SECONDS = 3.0  # A forwarder that asks somebody far away takes a second; clients wait five.
OTHER_NAME = "ollama.com"  # Never the box's to answer, and known to every server of the Internet.


async def ask_reply(server: Server, name: str, rtype: str, *, is_unchecked: bool = False) -> Reply:
    """Ask once. `is_unchecked` asks the server not to check signatures (RFC 4035 §3.2.2)."""
    header = DNSHeader(id=int.from_bytes(os.urandom(2)), rd=1, cd=int(is_unchecked))
    query = bytes(DNSRecord(header, q=DNSQuestion(DNSLabel(name), getattr(QTYPE, rtype))).pack())
    try:
        async with asyncio.timeout(ASK_SECONDS):
            reply = read_reply(await exchange_udp(server, query), rtype)
            if reply is None:
                reply = read_reply(await exchange_tcp(server, query), rtype)
    except OSError:
        reply = None
    return reply or Reply(SILENT)


def read_reply(response: bytes, rtype: str) -> Reply | None:
    """Read an answer, along whatever aliases; None where it was cut short.

    Raises ConnectionError: it is no DNS.
    """
    try:
        record = DNSRecord.parse(response)
        found = [each for each in record.rr if each.rtype == getattr(QTYPE, rtype)]
        texts = tuple(str(each.rdata) for each in found)
    except UNREADABLE as error:
        raise ConnectionError("the answer cannot be read") from error
    return None if record.header.tc else Reply(str(RCODE.get(record.header.rcode)), texts)


async def ask_all(server: Server, name: str) -> Told:
    """All that tells how the server fares with `name`, side by side."""
    async with asyncio.TaskGroup() as questions:
        a, aaaa, https = (
            questions.create_task(ask_reply(server, name, rtype))
            for rtype in ("A", "AAAA", "HTTPS")
        )
        unchecked = questions.create_task(ask_reply(server, name, "A", is_unchecked=True))
        other = questions.create_task(ask_reply(server, OTHER_NAME, "A"))
    return Told(a.result(), aaaa.result(), https.result(), unchecked.result(), other.result())
