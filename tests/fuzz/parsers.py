"""Every parser that meets bytes from outside, as a function that any bytes must leave standing.

What a parser may raise is what it says that it raises; anything else escapes, and is a finding.
"""

import contextlib
import struct
from collections.abc import Callable
from pathlib import PurePosixPath

from addons.sealed import parse_name
from appliance.announce.wire import is_solicitation, parse_advertisement
from appliance.dns.settings import parse_report, parse_settings, parse_word
from appliance.dns.wire import Query, fit, limit_ttl, parse_query, render_failure
from appliance.policy.addresses import parse_server, parse_system_servers
from appliance.policy.grants import read_grant
from appliance.policy.proxies import find_host, is_excluded
from appliance.policy.tunnels import choose_way, read_own_target
from appliance.protocol.chunksums import ChunksumsMalformedError, parse_chunksums
from appliance.protocol.clients import is_signed_by_habit, parse_client
from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import Verdict
from appliance.protocol.fields import is_via
from appliance.protocol.heads import check_head, parse_host
from appliance.protocol.hops import forward_request, forward_response
from appliance.protocol.manifest import ManifestMalformedError, parse_manifest
from appliance.protocol.ranges import parse_content_range, parse_range
from appliance.protocol.reference import parse_model_name
from appliance.protocol.routes import parse_route
from appliance.store.mounts import find_file_system, find_mount_points
from appliance.upstream.questions import read_reply
from appliance.upstream.resolver import _read as read_dns_answer

_DIGEST = Digest("ab" * 32)


def head(content: bytes) -> None:
    fields = [(name, value) for name, _, value in _lines(content)]
    forward_request(tuple(fields))
    forward_response(tuple(fields))
    with contextlib.suppress(Verdict):
        host = check_head(fields)
        assert not any(byte in name + value for name, value in fields for byte in b"\r\n\0")
        assert host.name


def host(content: bytes) -> None:
    with contextlib.suppress(Verdict):
        found = parse_host(content.decode("latin-1"))
        assert found.port is None or 0 < found.port < 65536
        choose_way(found, opened={"a.test"}, tunnelled=("b.test", "*.c.test"))


def target(content: bytes) -> None:
    text = content.decode("latin-1")
    for method in ("GET", "HEAD", "POST"):
        with contextlib.suppress(Verdict):
            parse_route(method, text)
    with contextlib.suppress(Verdict):
        path = read_own_target(text, addresses={"10.0.0.5"}, ports={80}, path="/blobs/")
        assert path.startswith("/blobs/")
    with contextlib.suppress(Verdict):
        read_grant(b"secret", _DIGEST, text)


def name(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    with contextlib.suppress(Verdict):
        parse_model_name(text)
    with contextlib.suppress(Verdict):
        assert set(parse_digest(text).encoded) <= set("0123456789abcdef")


def field(content: bytes) -> None:
    text = content.decode("latin-1")
    with contextlib.suppress(Verdict):
        span = parse_range(text, 1000)
        assert span is None or span.stop <= 1000
    parse_content_range(text)
    parse_client(text)
    is_signed_by_habit(text)
    is_via(text, "box")


def hello(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse_name(content)


def mounts(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    assert all(point.is_absolute() for point in find_mount_points(text))
    find_file_system(PurePosixPath("/a/b"), text)


def manifest(content: bytes) -> None:
    with contextlib.suppress(ManifestMalformedError):
        parse_manifest(content)


def chunksums(content: bytes) -> None:
    with contextlib.suppress(ChunksumsMalformedError):
        chunks = parse_chunksums(content, 1000)
        assert sum(each.span.size_bytes for each in chunks) == 1000


def dns_query(content: bytes) -> None:
    outcome = parse_query(content)
    if isinstance(outcome, Query):
        assert len(fit(outcome, render_failure(outcome))) <= outcome.size_bytes_max
    else:
        assert outcome is None or outcome[:2] == content[:2]


def dns_answer(content: bytes) -> None:
    lowered = limit_ttl(content, 30)
    assert lowered is None or len(lowered) == len(content)
    with contextlib.suppress(ConnectionError):
        read_dns_answer(content, "registry.ollama.ai", "A")
    for rtype in ("A", "AAAA", "HTTPS"):
        with contextlib.suppress(ConnectionError):
            read_reply(content, rtype)


def neighbour(content: bytes) -> None:
    is_solicitation(content)
    parse_advertisement(content)


def word(content: bytes) -> None:
    for parse in (parse_word, parse_report, parse_settings):
        with contextlib.suppress(ValueError):
            parse(content)


def servers(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    parse_system_servers(text)
    find_host(text)
    is_excluded(text, "registry.ollama.ai")
    with contextlib.suppress(ValueError):
        parse_server(text)


PARSERS: dict[str, Callable[[bytes], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        *(head, host, target, name, field, manifest, chunksums),
        *(dns_query, dns_answer, neighbour, word, servers, hello, mounts),
    )
}

_DNS_HEAD = struct.Struct("!HHHHHH")
SEEDS: dict[str, tuple[bytes, ...]] = {
    "head": (b"Host: a.test\r\nContent-Length: 5\r\nVia: 1.1 box", b"Transfer-Encoding: chunked"),
    "hello": (
        bytes.fromhex("160301003c01000038") + b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0\0\x0d"
        b"\0\0\0\x09\0\7\0\0\4a.bc",
    ),
    "mounts": (
        b"UUID=1 /srv/a\\040b ext4 nofail 0 2\n",
        b"31 30 8:17 / /a rw,relatime - xfs /dev/sdb1 rw\n",
    ),
    "host": (b"registry.ollama.ai:443", b"[::1]:80", b"b.test"),
    "target": (
        b"/v2/library/tiny/manifests/latest",
        b"/v2/library/tiny/blobs/sha256:" + b"ab" * 32,
        b"http://10.0.0.5/blobs/sha256:" + b"ab" * 32 + b"?grant=x",
    ),
    "name": (b"llama3.2:1b", b"hf.co/a/b:Q4_K_M", b"sha256:" + b"ab" * 32),
    "field": (b"bytes=0-499", b"bytes 0-499/1000", b"ollama/0.35.2 (amd64 linux) Go/go1.24"),
    "manifest": (
        b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",'
        b'"config":{"mediaType":"a","digest":"sha256:' + b"ab" * 32 + b'","size":5},"layers":[]}',
    ),
    "chunksums": (b"sha256:" + b"ab" * 32 + b" 0-999\n",),
    "dns-query": (_DNS_HEAD.pack(1, 0x100, 1, 0, 0, 0) + b"\1a\4test\0\0\1\0\1",),
    "dns-answer": (
        _DNS_HEAD.pack(1, 0x8180, 1, 1, 0, 0)
        + b"\1a\4test\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\1\0\0\4\1\2\3\4",
    ),
    "word": (b'{"is_healthy": true, "truth": ["1.2.3.4"]}',),
    "servers": (b"nameserver 127.0.0.1\n", b"[::1]:53"),
}
"""What a parser takes, to start from."""


def _lines(content: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in content.split(b"\r\n")]
