"""Requests that no door may forward, and bytes of any kind, for both doors."""

import pytest
from hypothesis import strategies as st

HOST = b"Host: registry.ollama.ai\r\n"
UPLOAD = b"/v2/library/a/blobs/uploads/x"


def _get(*lines: bytes, target: bytes = b"/token", host: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + host + b"".join(lines) + b"\r\n"


def _patch(*lines: bytes, body: bytes = b"") -> bytes:
    return b"PATCH " + UPLOAD + b" HTTP/1.1\r\n" + HOST + b"".join(lines) + b"\r\n" + body


_CHUNKED = b"Transfer-Encoding: chunked\r\n"

AMBIGUOUS = [
    pytest.param(_get(host=b""), id="no Host"),
    pytest.param(_get(HOST), id="two Hosts, the same"),
    pytest.param(_get(b"Host: ollama.ai\r\n"), id="two Hosts"),
    pytest.param(_get(host=b"Host: google.com\r\n"), id="a Host that is not the SNI"),
    pytest.param(_get(host=b"Host: registry.ollama.ai@google.com\r\n"), id="a Host with a user"),
    pytest.param(_get(host=b"Host: registry.ollama.ai, google.com\r\n"), id="a list of Hosts"),
    pytest.param(_get(host=b"Host: registry.ollama.ai:99999\r\n"), id="a port that is none"),
    pytest.param(_get(host=b"Host:\r\n"), id="an empty Host"),
    pytest.param(_get(b"X-A: b\r\n c\r\n"), id="obsolete line folding"),
    pytest.param(_get(b"X-A: b\r\n\tc\r\n"), id="obsolete line folding by a tab"),
    pytest.param(_get(b"X-A: b\0c\r\n"), id="NUL in a value"),
    pytest.param(_get(b"X-A: b\rX-B: c\r\n"), id="CR in a value"),
    pytest.param(_get(b"X-A: b\nX-B\0: c\r\n"), id="NUL in a name"),
    pytest.param(_get(b"X A: b\r\n"), id="a space in a name"),
    pytest.param(_get(b"X-A : b\r\n"), id="a space before the colon"),
    pytest.param(_get(b": b\r\n"), id="no name"),
    pytest.param(_get(b"X-A\r\n"), id="no colon"),
    pytest.param(_get(target=b"http://registry.ollama.ai/token"), id="absolute form"),
    pytest.param(_get(target=b"http://google.com/token"), id="absolute form of another"),
    pytest.param(_get(target=b"https://registry.ollama.ai/v2/"), id="absolute form of https"),
    pytest.param(_get(target=b"*"), id="asterisk form"),
    pytest.param(_get(target=b"token"), id="a target without a slash"),
    pytest.param(_get(target=b"/v2/\xff"), id="a target outside ASCII"),
    pytest.param(_get(target=b"/v2/a%00b"), id="NUL encoded"),
    pytest.param(_get(target=b"/v2/../token"), id="dot segments"),
    pytest.param(_get(target=b"/v2/%2e%2e/token"), id="dot segments encoded"),
    pytest.param(_get(target=b"/v2/library/a/blobs/sha256:00"), id="a short digest"),
    pytest.param(b"CONNECT registry.ollama.ai:443 HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT"),
    pytest.param(b"CONNECT google.com:443 HTTP/1.1\r\n" + HOST + b"\r\n", id="CONNECT elsewhere"),
    pytest.param(b"G\0T /token HTTP/1.1\r\n" + HOST + b"\r\n", id="NUL in the method"),
    pytest.param(b"G\x1bT /token HTTP/1.1\r\n" + HOST + b"\r\n", id="ESC in the method"),
    pytest.param(b"G(T /token HTTP/1.1\r\n" + HOST + b"\r\n", id="a method that is no token"),
    pytest.param(b"GET /token HTTP/2.0\r\n" + HOST + b"\r\n", id="HTTP/2.0"),
    pytest.param(b"GET /token HTTP/0.9\r\n" + HOST + b"\r\n", id="HTTP/0.9"),
    pytest.param(b"GET /token HTTP/1.2\r\n" + HOST + b"\r\n", id="HTTP/1.2"),
    pytest.param(b"GET /token\r\n\r\n", id="no version"),
    pytest.param(b"GET /to ken HTTP/1.1\r\n" + HOST + b"\r\n", id="a space in the target"),
    pytest.param(
        _patch(b"Content-Length: 1\r\n", _CHUNKED, body=b"1\r\na\r\n0\r\n\r\n"), id="CL+TE"
    ),
    pytest.param(_patch(b"Content-Length: 1\r\nContent-Length: 2\r\n", body=b"ab"), id="two CL"),
    pytest.param(_patch(b"Content-Length: 1\r\n" * 2, body=b"a"), id="two CL, the same"),
    pytest.param(_patch(b"Content-Length: 1, 1\r\n", body=b"a"), id="a list of CL"),
    pytest.param(_patch(b"Content-Length: +1\r\n", body=b"a"), id="CL with a sign"),
    pytest.param(_patch(b"Content-Length: -1\r\n", body=b"a"), id="CL below nothing"),
    pytest.param(_patch(b"Content-Length: 0x1\r\n", body=b"a"), id="CL in hexadecimal"),
    pytest.param(_patch(_CHUNKED, _CHUNKED, body=b"0\r\n\r\n"), id="two TE"),
    pytest.param(_patch(b"Transfer-Encoding: gzip, chunked\r\n", body=b"0\r\n\r\n"), id="TE gzip"),
    pytest.param(_patch(b"Transfer-Encoding: identity\r\n"), id="TE identity"),
    pytest.param(_patch(b"Transfer-Encoding: xchunked\r\n", body=b"0\r\n\r\n"), id="TE unknown"),
    pytest.param(_patch(b"Transfer-Encoding:\x0bchunked\r\n", body=b"0\r\n\r\n"), id="TE after VT"),
    pytest.param(_patch(b"Transfer-Encoding : chunked\r\n", body=b"0\r\n\r\n"), id="TE, a space"),
]

# The head is sound; the body after it is not, and may be on its way already.
GARBAGE = [
    pytest.param(_patch(_CHUNKED, body=b"xyz\r\na\r\n0\r\n\r\n"), id="a size that is none"),
    pytest.param(_patch(_CHUNKED, body=b"-1\r\na\r\n0\r\n\r\n"), id="a size below nothing"),
    pytest.param(_patch(_CHUNKED, body=b"1" * 40 + b"\r\na"), id="a size past all numbers"),
    pytest.param(_patch(_CHUNKED, body=b"1\r\nabc\r\n0\r\n\r\n"), id="a chunk longer than it says"),
    pytest.param(_patch(_CHUNKED, body=b"1 \0\r\na\r\n0\r\n\r\n"), id="NUL behind a size"),
]

_WORDS = st.sampled_from(
    [
        *(b"GET ", b"HEAD ", b"PATCH ", b"CONNECT ", b"/v2/", b"/token", b"*", b"http://a/"),
        *(b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\n", b"\r", b"\0", b" ", b":"),
        *(HOST, b"Host: a\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", _CHUNKED),
        *(b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"Connection: close\r\n"),
        *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"Accept: \xff\xfe\r\n", b"\r\n\r\n"),
        *(b"/v2/library/a/manifests/b", b"/blobs/sha256:", b"Range: bytes=0-\r\n"),
    ]
)


def requests_of_any_kind() -> st.SearchStrategy[bytes]:
    """Bytes: some noise, most of them made of the words that requests are made of."""
    return st.binary(max_size=200) | st.lists(_WORDS, max_size=20).map(b"".join)
