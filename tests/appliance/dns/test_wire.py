"""Messages: what a query says, what a verdict looks like, and that nothing is too odd to read."""

import struct

import pytest
from dnslib import EDNS0, QTYPE, RR, DNSHeader, DNSLabel, DNSQuestion, DNSRecord, EDNSOption
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.dns.wire import (
    EDNS_SIZE_BYTES,
    QUERY_SIZE_BYTES_MAX,
    Query,
    fit,
    limit_ttl,
    parse_query,
    render_answer,
    render_failure,
)
from appliance.policy.answers import (
    Box,
    Empty,
    Minimal,
    NoSuchName,
    Own,
    Question,
    Refuse,
    Truth,
)

NAME = "ReGistry.ollama.AI"
HEADER = struct.Struct("!HHHHHH")
OWN_ANSWERS: list[Own] = [
    Box(("192.168.1.5",)),
    Box(("2001:db8::5",)),
    Truth(("104.21.75.227", "172.67.182.229")),
    Empty(),
    Minimal(),
    Refuse(),
    NoSuchName(),
]

labels = st.lists(st.binary(min_size=1, max_size=63), max_size=12).filter(
    lambda each: sum(len(label) + 1 for label in each) < 255
)


def packet(
    name: str | DNSLabel = NAME, rtype: int = QTYPE.A, rclass: int = 1, **edns: int
) -> bytes:
    record = DNSRecord(DNSHeader(id=4660, rd=1), q=DNSQuestion(name, rtype, rclass))
    if edns:
        record.add_ar(EDNS0(opts=[EDNSOption(10, b"8 bytes.")], flags="do", **edns))
    return bytes(record.pack())


def query(of: bytes) -> Query:
    parsed = parse_query(of)
    assert isinstance(parsed, Query)
    return parsed


def code(reply: object) -> int:
    assert isinstance(reply, bytes)
    return int(DNSRecord.parse(reply).header.rcode)


@pytest.mark.parametrize(
    ("of", "question"),
    [
        (packet(), Question(NAME, "A")),
        (packet(rtype=QTYPE.HTTPS), Question(NAME, "HTTPS")),
        (packet(rtype=QTYPE.ANY), Question(NAME, "ANY")),
        (packet(rtype=65280), Question(NAME, "TYPE65280")),
        (packet(rclass=3), Question(NAME, "A", "CLASS3")),
        (packet(rclass=255), Question(NAME, "A", "CLASS255")),
        (packet(DNSLabel([])), Question("", "A")),
        (packet(DNSLabel([b"a.b", b"c\\d", b"\xff"])), Question(r"a\046b.c\092d.\255", "A")),
    ],
)
def test_what_a_query_asks(of: bytes, question: Question) -> None:
    assert query(of).question == question


@pytest.mark.parametrize(
    ("offered", "taken"), [(0, 512), (511, 512), (900, 900), (1232, 1232), (4096, 1232)]
)
def test_edns_says_how_much_a_client_takes_and_we_send_no_more_than_fits(
    offered: int, taken: int
) -> None:
    assert query(packet(udp_len=offered)).size_bytes_max == taken


def test_records_that_are_not_edns_are_skipped() -> None:
    of = DNSRecord.parse(packet(udp_len=1000))
    of.add_ar(*RR.fromZone("lan 60 TXT hello"))
    assert query(bytes(of.pack())).size_bytes_max == 1000


def test_without_edns_a_client_takes_512() -> None:
    assert query(packet()).size_bytes_max == 512


@pytest.mark.parametrize("of", [packet(), packet(udp_len=4096)], ids=["plain", "edns"])
@pytest.mark.parametrize("verdict", OWN_ANSWERS, ids=repr)
def test_every_answer_is_one_to_its_question(of: bytes, verdict: Own) -> None:
    reply = render_answer(query(of), verdict, 30)
    record = DNSRecord.parse(reply)
    stop = query(of).question_stop
    assert reply[12:stop] == of[12:stop]
    assert record.header.id == 4660
    assert (record.header.qr, record.header.aa, record.header.rd, record.header.ra) == (1, 0, 1, 1)
    assert (record.header.tc, record.header.ad) == (0, 0)
    edns = [each for each in record.ar if each.rtype == QTYPE.OPT]
    assert [(each.edns_len, each.edns_do) for each in edns] == [(EDNS_SIZE_BYTES, 1)] * (
        of != packet()
    )


@pytest.mark.parametrize(
    ("verdict", "answers"),
    [
        (Box(("192.168.1.5",)), [("A", "192.168.1.5", 60)]),
        (Box(("2001:db8::5",)), [("AAAA", "2001:db8::5", 60)]),
        (Truth(("1.1.1.1", "1.0.0.1")), [("A", "1.1.1.1", 30), ("A", "1.0.0.1", 30)]),
        (Minimal(), [("HINFO", r"\# 9 075246433834383200", 60)]),
        (Empty(), []),
        (NoSuchName(), []),
        (Refuse(), []),
    ],
    ids=repr,
)
def test_the_records_of_an_answer(verdict: Own, answers: list[tuple[str, str, int]]) -> None:
    record = DNSRecord.parse(render_answer(query(packet()), verdict, 60))
    found = [(QTYPE[each.rtype], each.rdata.toZone(), each.ttl) for each in record.rr]
    assert found == answers
    assert all(str(each.rname) == f"{NAME}." for each in record.rr)


@pytest.mark.parametrize("verdict", [Empty(), NoSuchName()], ids=repr)
def test_an_absence_may_be_remembered_as_long_as_an_answer(verdict: Own) -> None:
    (authority,) = DNSRecord.parse(render_answer(query(packet()), verdict, 30)).auth
    assert (authority.rtype, authority.ttl, authority.rdata.times[4]) == (QTYPE.SOA, 30, 30)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [(Empty(), 0), (NoSuchName(), 3), (Refuse(), 5), (Minimal(), 0), (Box(("10.0.0.1",)), 0)],
    ids=repr,
)
def test_the_code_of_an_answer(verdict: Own, expected: int) -> None:
    assert code(render_answer(query(packet()), verdict, 30)) == expected


def test_nobody_to_ask_is_servfail() -> None:
    assert code(render_failure(query(packet()))) == 2


QUESTION = packet()[12:]


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param(HEADER.pack(1, 0, 0, 0, 0, 0), 1, id="no question"),
        pytest.param(HEADER.pack(1, 0, 2, 0, 0, 0) + 2 * QUESTION, 1, id="two questions"),
        pytest.param(HEADER.pack(1, 0, 1, 0, 0, 0), 1, id="a question that is not there"),
        pytest.param(HEADER.pack(1, 0, 1, 0, 0, 0) + QUESTION[:-1], 1, id="half a question"),
        pytest.param(HEADER.pack(1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1", 1, id="a pointer"),
        pytest.param(HEADER.pack(1, 0, 1, 0, 0, 0) + b"\x40" + bytes(80), 1, id="a long label"),
        pytest.param(
            HEADER.pack(1, 0, 1, 0, 0, 0) + 128 * b"\1a" + b"\0\0\1\0\1", 1, id="a long name"
        ),
        pytest.param(HEADER.pack(1, 0, 1, 0, 0, 1) + QUESTION, 1, id="a record that is not there"),
        pytest.param(
            HEADER.pack(1, 0, 1, 0, 0, 1) + QUESTION + b"\0\0\x29\4\0\0\0\0\0\0\x09", 1, id="cut"
        ),
        pytest.param(
            HEADER.pack(1, 0, 1, 0, 0, 2) + QUESTION + 2 * b"\0\0\x29\4\0\0\0\0\0\0\0",
            1,
            id="two OPT",
        ),
        pytest.param(HEADER.pack(1, 0x2000, 1, 0, 0, 0) + QUESTION, 4, id="notify"),
        pytest.param(HEADER.pack(1, 0x2800, 1, 0, 0, 0) + QUESTION, 4, id="update"),
    ],
)
def test_what_cannot_be_answered_says_why(of: bytes, expected: int) -> None:
    assert code(parse_query(of)) == expected


@pytest.mark.parametrize(
    "of",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(packet()[:11], id="half a header"),
        pytest.param(HEADER.pack(1, 0x8000, 1, 0, 0, 0) + QUESTION, id="a response"),
        pytest.param(packet() + bytes(QUERY_SIZE_BYTES_MAX), id="a flood"),
    ],
)
def test_what_deserves_no_reply_gets_none(of: bytes) -> None:
    assert parse_query(of) is None


def test_another_version_of_edns_is_told_so() -> None:
    reply = parse_query(packet(udp_len=1232, version=1))
    assert isinstance(reply, bytes)
    (edns,) = DNSRecord.parse(reply).ar
    assert (edns.edns_rcode, edns.edns_ver) == (1, 0)


@given(labels, st.integers(0, 65535))
def test_any_name_and_type_come_back_byte_for_byte(name: list[bytes], rtype: int) -> None:
    of = HEADER.pack(7, 0x0100, 1, 0, 0, 0)
    of += b"".join(bytes([len(each)]) + each for each in name) + struct.pack("!BHH", 0, rtype, 1)
    for verdict in OWN_ANSWERS:
        reply = render_answer(query(of), verdict, 30)
        assert reply[12 : len(of)] == of[12:]


@given(labels)
def test_a_name_as_text_has_as_many_dots_as_the_name(name: list[bytes]) -> None:
    of = HEADER.pack(7, 0, 1, 0, 0, 0)
    of += b"".join(bytes([len(each)]) + each for each in name) + b"\0\0\1\0\1"
    text = query(of).question.name
    assert text.count(".") == max(0, len(name) - 1)
    assert text.isascii()


bent = st.tuples(st.integers(0, 60), st.integers(0, 255)).map(
    lambda change: bend(packet(udp_len=900), *change)
)
counted = st.tuples(*[st.integers(0, 2)] * 4).map(lambda counts: HEADER.pack(1, 0, *counts))


def bend(of: bytes, at: int, byte: int) -> bytes:
    return of[:at] + bytes([byte]) + of[at + 1 :]


@given(
    st.binary(max_size=200)
    | bent
    | st.tuples(counted, st.binary(max_size=100)).map(lambda parts: parts[0] + parts[1])
)
@example(HEADER.pack(1, 0, 1, 0, 0, 65535) + QUESTION + b"\xc0\x0c" * 500)
def test_any_bytes_are_a_query_or_a_reply_or_nothing(of: bytes) -> None:
    parsed = parse_query(of)
    if isinstance(parsed, Query):
        assert render_answer(parsed, Empty(), 30)[:2] == of[:2]
    elif parsed is not None:
        assert parsed[:2] == of[:2]
        assert parsed[2] & 0x80


def long_reply() -> bytes:
    record = DNSRecord.parse(packet()).reply()
    record.add_answer(*RR.fromZone("\n".join(f"{NAME} 300 A 10.0.0.{each}" for each in range(60))))
    return bytes(record.pack())


def test_a_reply_too_long_for_its_client_says_so() -> None:
    of = query(packet(udp_len=600))
    reply = fit(of, long_reply())
    assert len(long_reply()) > 600 >= len(reply)
    assert DNSRecord.parse(reply).header.tc == 1
    assert reply[12 : of.question_stop] == of.packet[12 : of.question_stop]


def test_a_reply_that_fits_is_left_alone() -> None:
    assert fit(query(packet(udp_len=1232)), long_reply()) == long_reply()


def test_lifetimes_are_lowered_and_never_raised() -> None:
    record = DNSRecord.parse(packet(udp_len=1232)).reply()
    record.add_answer(
        *RR.fromZone("a.lan 300 CNAME b.lan\nb.lan 5 A 10.0.0.1\nb.lan 31 A 10.0.0.2")
    )
    record.add_auth(*RR.fromZone("lan 3600 NS ns.lan"))
    record.add_ar(EDNS0(udp_len=1232, flags="do"))
    lowered = limit_ttl(bytes(record.pack()), 30)
    assert lowered is not None
    read = DNSRecord.parse(lowered)
    assert [each.ttl for each in read.rr] == [30, 5, 30]
    assert [each.ttl for each in read.auth] == [30]
    assert read.ar == record.ar


@given(st.binary(min_size=12, max_size=100))
def test_any_reply_is_lowered_or_given_up(reply: bytes) -> None:
    lowered = limit_ttl(reply, 30)
    assert lowered is None or len(lowered) == len(reply)


@given(st.integers(12, len(long_reply()) - 1))
def test_a_reply_that_is_cut_is_given_up(stop: int) -> None:
    assert limit_ttl(long_reply()[:stop], 30) is None
