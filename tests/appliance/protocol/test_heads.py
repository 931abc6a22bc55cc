"""Heads: the forms that are read in two ways, and whatever bytes exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import FieldsTooLarge, RequestInvalid, Verdict
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX, Host, check_head, parse_host

type Fields = list[tuple[bytes, bytes]]

HOST = (b"Host", b"registry.ollama.ai")

GOOD: dict[str, Fields] = {
    "the least": [HOST],
    "any case of a name": [(b"hOST", b"registry.ollama.ai")],
    "a usual pull": [
        HOST,
        (b"User-Agent", b"ollama/0.33.0 (amd64 linux) Go/go1.26.6"),
        (b"Accept", b"application/vnd.docker.distribution.manifest.v2+json"),
        (b"Accept-Encoding", b"gzip"),
    ],
    "a length": [HOST, (b"Content-Length", b"0")],
    "chunks": [HOST, (b"Transfer-Encoding", b"chunked")],
    "chunks, shouted": [HOST, (b"Transfer-Encoding", b" CHUNKED ")],
    "obs-text and tabs": [HOST, (b"X-Name", b"caf\xc3\xa9\tau lait")],
    "an empty value": [HOST, (b"Accept", b"")],
    "the same field twice": [HOST, (b"Accept", b"a/b"), (b"Accept", b"c/d")],
    "every character of a token": [HOST, (b"!#$%&'*+-.^_`|~09azAZ", b"x")],
}

SMUGGLED: dict[str, Fields] = {
    "no Host": [],
    "no Host among others": [(b"Accept", b"*/*")],
    "two Hosts": [HOST, (b"Host", b"evil.example")],
    "the same Host twice": [HOST, HOST],
    "two Hosts in two cases": [HOST, (b"HOST", b"evil.example")],
    "two Hosts in one field": [(b"Host", b"registry.ollama.ai, evil.example")],
    "an empty Host": [(b"Host", b"")],
    "a folded value": [HOST, (b"X-Name", b"one\r\n two")],
    "a fold of a lone LF": [HOST, (b"X-Name", b"one\n\ttwo")],
    "a field inside a value": [HOST, (b"X-Name", b"x\r\nTransfer-Encoding: chunked")],
    "a folded Host": [(b"Host", b"registry.ollama.ai\r\n evil.example")],
    "a folded length": [HOST, (b"Content-Length", b"1\r\n 0")],
    "CR": [HOST, (b"X-Name", b"a\rb")],
    "LF": [HOST, (b"X-Name", b"a\nb")],
    "NUL": [HOST, (b"X-Name", b"a\0b")],
    "DEL": [HOST, (b"X-Name", b"a\x7fb")],
    "escape": [HOST, (b"X-Name", b"a\x1bb")],
    "a vertical tab before chunked": [HOST, (b"Transfer-Encoding", b"\x0bchunked")],
    "a name with a space": [HOST, (b"Content-Length ", b"5")],
    "a name with a colon": [HOST, (b"X:Y", b"5")],
    "a name with CR": [HOST, (b"X\rY", b"5")],
    "a name with NUL": [HOST, (b"X\0", b"5")],
    "a name with obs-text": [HOST, (b"Content-L\xc3\xa9ngth", b"5")],
    "no name": [HOST, (b"", b"5")],
    "CL and TE": [HOST, (b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")],
    "TE and CL": [HOST, (b"transfer-encoding", b"chunked"), (b"CONTENT-LENGTH", b"5")],
    "two CL": [HOST, (b"Content-Length", b"5"), (b"Content-Length", b"6")],
    "two equal CL": [HOST, (b"Content-Length", b"5"), (b"Content-Length", b"5")],
    "two CL in one field": [HOST, (b"Content-Length", b"5, 5")],
    "CL with a plus": [HOST, (b"Content-Length", b"+5")],
    "CL with a minus": [HOST, (b"Content-Length", b"-5")],
    "CL in hexadecimal": [HOST, (b"Content-Length", b"0x5")],
    "CL with an underscore": [HOST, (b"Content-Length", b"1_0")],
    "CL with a fraction": [HOST, (b"Content-Length", b"5.0")],
    "CL in other digits": [HOST, (b"Content-Length", "\u0665".encode())],
    "CL in superscript": [HOST, (b"Content-Length", b"\xb2")],
    "no number in CL": [HOST, (b"Content-Length", b"")],
    "two TE": [HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
    "TE gzip": [HOST, (b"Transfer-Encoding", b"gzip")],
    "TE gzip, chunked": [HOST, (b"Transfer-Encoding", b"gzip, chunked")],
    "TE identity": [HOST, (b"Transfer-Encoding", b"identity")],
    "TE quoted": [HOST, (b"Transfer-Encoding", b'"chunked"')],
    "TE with a parameter": [HOST, (b"Transfer-Encoding", b"chunked;q=1")],
    "TE chunked twice": [HOST, (b"Transfer-Encoding", b"chunked, chunked")],
    "an empty TE": [HOST, (b"Transfer-Encoding", b"")],
}

HOSTS = {
    "registry.ollama.ai": Host("registry.ollama.ai", None),
    "Registry.Ollama.AI:443": Host("registry.ollama.ai", 443),
    "registry.ollama.ai.": Host("registry.ollama.ai", None),
    "registry.ollama.ai.:8080": Host("registry.ollama.ai", 8080),
    " box\t": Host("box", None),
    "my_box.lan": Host("my_box.lan", None),
    "192.168.1.5:8080": Host("192.168.1.5", 8080),
    "box:00080": Host("box", 80),
    "box:65535": Host("box", 65535),
    "[2001:DB8::1]": Host("2001:db8::1", None),
    "[2001:db8:0:0:0:0:0:1]:80": Host("2001:db8::1", 80),
    "[::1]:1": Host("::1", 1),
}
NO_HOSTS = [
    *("", " ", ":80", ".", "..", ".box", "box..", "a..b", "box:", "box:0", "box:65536", "box:x"),
    *("box:-1", "box:+1", "box:123456", "box:80:80", "box:\u0661", "user@box", "user:pw@box:80"),
    *("http://box", "box/path", "box?x", "box#x", "box\\evil", "a b", "a,b", "b\xf6x", "box\xa0"),
    *("\x85box", "box\n", "*", "%62ox", "2001:db8::1", "[2001:db8::1", "2001:db8::1]", "[]"),
    *("[box]", "[::1]x", "[::1].", "[::1.]", "[:::]", "[1.2.3.4]", "[::1%25eth0]", "[::1%eth0]"),
    *("[fe80::1%1]:80", "[::1]:", "[[::1]]", "[1:2:3:4:5:6:7:8:9]", "[v1.fe]"),
]

host_texts = st.text(alphabet="ab._-:[]0189%@ \t\xa0\r\n") | st.text() | st.sampled_from([*HOSTS])
values = st.binary(max_size=30) | st.sampled_from([b"chunked", b"5", b"box", b"box\r\n x"])
names = st.sampled_from([b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"Accept"])


@pytest.mark.parametrize("form", GOOD)
def test_a_head_that_is_read_in_one_way_has_a_host(form: str) -> None:
    assert check_head(GOOD[form]) == Host("registry.ollama.ai", None)


@pytest.mark.parametrize("form", SMUGGLED)
def test_a_head_that_is_read_in_two_ways_is_refused(form: str) -> None:
    with pytest.raises(RequestInvalid):
        check_head(SMUGGLED[form])


def test_a_head_may_be_as_large_as_the_bound_and_no_larger() -> None:
    other = (b"X", b"")
    room = HEAD_SIZE_BYTES_MAX - sum(len(name) + len(value) + 4 for name, value in (HOST, other))
    assert check_head([HOST, (b"X", b"x" * room)]).name == "registry.ollama.ai"
    with pytest.raises(FieldsTooLarge):
        check_head([HOST, (b"X", b"x" * (room + 1))])


def test_many_small_fields_are_too_large_as_well() -> None:
    with pytest.raises(FieldsTooLarge):
        check_head([HOST, *[(b"X", b"")] * (HEAD_SIZE_BYTES_MAX // 5)])


@pytest.mark.parametrize("field", HOSTS)
def test_a_host_field_is_read(field: str) -> None:
    assert parse_host(field) == HOSTS[field]


@pytest.mark.parametrize("field", NO_HOSTS)
def test_what_names_no_host_is_refused(field: str) -> None:
    with pytest.raises(RequestInvalid):
        parse_host(field)


@given(st.lists(st.tuples(names | st.binary(max_size=10), values), max_size=6))
def test_any_fields_give_a_host_or_a_verdict(fields: Fields) -> None:
    try:
        host = check_head(fields)
    except Verdict:
        return
    assert host.name
    spelt = [name.lower() for name, _ in fields]
    assert spelt.count(b"host") == 1
    assert spelt.count(b"content-length") + spelt.count(b"transfer-encoding") <= 1
    assert not any(byte in name + value for name, value in fields for byte in b"\r\n\0")


@given(host_texts)
def test_any_text_is_a_host_or_a_verdict(field: str) -> None:
    try:
        host = parse_host(field)
    except RequestInvalid:
        return
    assert host.name.isascii()
    assert host.name == host.name.lower()
    assert not host.name.endswith(".")
    bracketed = f"[{host.name}]" if ":" in host.name else host.name
    assert parse_host(bracketed) == Host(host.name, None), "read again it is the same"
