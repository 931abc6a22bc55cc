"""DNS messages: bytes to the question they ask, a verdict to the bytes that answer it.

Theory of operation. Queries come from anybody, so they are read here by hand, strictly and in one
pass: one question, its name spelled out (no query ever needs compression), and records are only
skipped on the way to OPT. What we answer is put together by dnslib. What others answer is never
taken apart: it is passed on, with its lifetimes lowered in place where it must be forgotten soon.
"""

import struct
from dataclasses import dataclass

from dnslib import AAAA, EDNS0, QTYPE, RD, RR, SOA, A, DNSHeader, DNSLabel, DNSQuestion, DNSRecord

from appliance.policy.answers import Box, Empty, Minimal, NoSuchName, Own, Question, Refuse, Truth

QUERY_SIZE_BYTES_MAX = 4096  # A name, OPT and its cookies take 600; nobody sends more.
PLAIN_SIZE_BYTES = 512  # All that a client without EDNS takes by UDP; RFC 1035 §4.2.1.
EDNS_SIZE_BYTES = 1232  # Fits the smallest IPv6 path unfragmented; DNS flag day 2020.
TRUTH_TTL_SECONDS_MAX = 30  # Clients shall come back to the box soon after it recovers.

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)

_HEADER = struct.Struct("!HHHHHH")
_IS_RESPONSE = 0x8000
_WANTS_RECURSION, _OFFERS_RECURSION = 0x0100, 0x0080
_IN, _OPT = 1, 41
_LABEL_SIZE_BYTES_MAX, _NAME_SIZE_BYTES_MAX = 63, 255  # RFC 1035 §2.3.4
_PLAIN = frozenset(range(33, 127)) - frozenset(b".\\")
_RFC8482 = b"\x07RFC8482\x00"  # HINFO's CPU and OS


@dataclass(frozen=True, slots=True)
class Query:
    """One question as it came, and how large an answer its client can take by UDP."""

    packet: bytes
    question: Question
    labels: tuple[bytes, ...]
    question_stop: int
    size_bytes_max: int = PLAIN_SIZE_BYTES
    has_edns: bool = False
    wants_dnssec: bool = False


class _Malformed(Exception):
    """These bytes are no message."""


def parse_query(packet: bytes) -> Query | bytes | None:
    """Read a query; or the reply that says why it cannot be; or None, to stay silent."""
    if len(packet) < _HEADER.size or len(packet) > QUERY_SIZE_BYTES_MAX:
        return None
    _id, flags, questions, *records = _HEADER.unpack_from(packet)
    if flags & _IS_RESPONSE:
        return None
    if flags & 0x7800:  # Any opcode but QUERY.
        return _bare_reply(packet, NOTIMP)
    if questions != 1:
        return _bare_reply(packet, FORMERR)
    try:
        return _read(packet, sum(records))
    except _Malformed:
        return _bare_reply(packet, FORMERR)


def _read(packet: bytes, record_count: int) -> Query | bytes:
    labels, at = _spelled_name(packet, _HEADER.size)
    rtype, rclass, at = *_unpack("!HH", packet, at), at + 4
    question = Question(_text(labels), QTYPE[rtype], "IN" if rclass == _IN else f"CLASS{rclass}")
    query = Query(packet, question, labels, at)
    edns: list[tuple[int, int]] = []
    for _ in range(record_count):
        start = _skip_name(packet, at)
        kind, size, ttl, data_size = _unpack("!HHIH", packet, start)
        at = start + 10 + data_size
        if kind == _OPT:
            edns.append((size, ttl))
    if at > len(packet) or len(edns) > 1:
        raise _Malformed
    return _with_edns(query, *edns[0]) if edns else query


def _with_edns(query: Query, size: int, flags: int) -> Query | bytes:
    size_bytes_max = max(PLAIN_SIZE_BYTES, min(size, EDNS_SIZE_BYTES))
    wants_dnssec = bool(flags & 0x8000)
    query = Query(
        query.packet, query.question, query.labels, query.question_stop,
        size_bytes_max, has_edns=True, wants_dnssec=wants_dnssec,
    )  # fmt: skip
    if flags >> 16 & 0xFF:  # BADVERS, for any version but 0; RFC 6891 §6.1.3.
        return _pack(query, _reply(query, NOERROR), extended_code=1)
    return query


def render_answer(query: Query, verdict: Own, ttl_seconds: int) -> bytes:
    """The reply that says `verdict`; the Truth never for longer than TRUTH_TTL_SECONDS_MAX."""
    code = {Refuse: REFUSED, NoSuchName: NXDOMAIN}.get(type(verdict), NOERROR)
    reply, name = _reply(query, code), DNSLabel(query.labels)
    match verdict:
        case Box(addresses):
            _add_addresses(reply, name, addresses, ttl_seconds)
        case Truth(addresses):
            _add_addresses(reply, name, addresses, min(ttl_seconds, TRUTH_TTL_SECONDS_MAX))
        case Minimal():
            reply.add_answer(RR(name, QTYPE.HINFO, ttl=ttl_seconds, rdata=RD(_RFC8482)))
        case Empty() | NoSuchName():
            reply.add_auth(_start_of_authority(name, ttl_seconds))
        case Refuse():
            pass
    return _pack(query, reply)


def render_failure(query: Query) -> bytes:
    """The reply that says that nobody could be asked."""
    return _pack(query, _reply(query, SERVFAIL))


def fit(query: Query, reply: bytes) -> bytes:
    """`reply` itself if the client takes it by UDP; else an empty one that says: ask by TCP."""
    if len(reply) <= query.size_bytes_max:
        return reply
    bare = _reply(query, reply[3] & 0x0F)
    bare.header.tc = 1
    return _pack(query, bare)


def limit_ttl(reply: bytes, ttl_seconds_max: int) -> bytes | None:
    """`reply` with no record to be kept longer than that; None if it cannot be read."""
    lowered = bytearray(reply)
    try:
        questions, *records = _unpack("!HHHH", reply, 4)
        at = _HEADER.size
        for _ in range(questions):
            at = _skip_name(reply, at) + 4
        for _ in range(sum(records)):
            at = _skip_name(reply, at)
            kind, _class, ttl, data_size = _unpack("!HHIH", reply, at)
            if kind != _OPT:
                struct.pack_into("!I", lowered, at + 4, min(ttl, ttl_seconds_max))
            at += 10 + data_size
    except _Malformed:
        return None
    return bytes(lowered) if at <= len(reply) else None


def _reply(query: Query, code: int) -> DNSRecord:
    identifier, flags = _unpack("!HH", query.packet, 0)
    header = DNSHeader(id=identifier, bitmap=0, qr=1, ra=1, rcode=code)
    header.rd = bool(flags & _WANTS_RECURSION)
    rtype, rclass = _unpack("!HH", query.packet, query.question_stop - 4)
    return DNSRecord(header, q=DNSQuestion(DNSLabel(query.labels), rtype, rclass))


def _pack(query: Query, reply: DNSRecord, *, extended_code: int = 0) -> bytes:
    if query.has_edns:
        flags = "do" if query.wants_dnssec else ""
        reply.add_ar(EDNS0(udp_len=EDNS_SIZE_BYTES, flags=flags, ext_rcode=extended_code))
    return bytes(reply.pack())


def _bare_reply(packet: bytes, code: int) -> bytes:
    """Nothing but a header: to a message whose question we could not read."""
    identifier, flags, *_ = _HEADER.unpack_from(packet)
    kept = flags & (0x7800 | _WANTS_RECURSION)
    return _HEADER.pack(identifier, _IS_RESPONSE | kept | _OFFERS_RECURSION | code, 0, 0, 0, 0)


def _add_addresses(
    reply: DNSRecord, name: DNSLabel, addresses: tuple[str, ...], ttl_seconds: int
) -> None:
    for each in addresses:
        rtype, rdata = (QTYPE.AAAA, AAAA(each)) if ":" in each else (QTYPE.A, A(each))
        reply.add_answer(RR(name, rtype, ttl=ttl_seconds, rdata=rdata))


def _start_of_authority(name: DNSLabel, ttl_seconds: int) -> RR:
    """What lets a resolver remember an absence (RFC 2308 §5), in the form of RFC 6303 §3."""
    times = (1, 3600, 1200, 604800, ttl_seconds)
    return RR(name, QTYPE.SOA, ttl=ttl_seconds, rdata=SOA(name, "nobody.invalid", times))


def _text(labels: tuple[bytes, ...]) -> str:
    """Labels as text; a dot inside one is escaped, so it can never pass for two."""
    return ".".join(
        "".join(chr(each) if each in _PLAIN else f"\\{each:03d}" for each in label)
        for label in labels
    )


def _unpack(layout: str, packet: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, packet, at)
    except struct.error:
        raise _Malformed from None


def _spelled_name(packet: bytes, start: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of a name without pointers, and where it ends."""
    labels, at = [], start
    while size := _unpack("!B", packet, at)[0]:
        stop = at + 1 + size
        if size > _LABEL_SIZE_BYTES_MAX or stop - start >= _NAME_SIZE_BYTES_MAX:
            raise _Malformed
        labels.append(packet[at + 1 : stop])
        at = stop
    return tuple(labels), at + 1


def _skip_name(packet: bytes, at: int) -> int:
    """Where the name at `at` ends: at its root label, or behind its pointer."""
    while size := _unpack("!B", packet, at)[0]:
        if size >= 0xC0:
            return at + 2
        if size > _LABEL_SIZE_BYTES_MAX:
            raise _Malformed
        at += 1 + size
    return at + 1
