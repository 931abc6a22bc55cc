"""What passes through, byte for byte, between a client and a raw origin that writes it all down."""

import asyncio
import contextlib
import tracemalloc

import pytest
import trustme

from appliance.policy.addresses import AddressRefusedError
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from appliance.upstream.resolver import NameUnresolvableError
from tests.addons.conftest import NAME, PSEUDONYM, Internet, OpenDoor, request
from tests.fakes.wire import RawOrigin, dial

BLOB_OF_NOBODY = f"/v2/someone/private/blobs/sha256:{'ab' * 32}"
UPLOAD = "/v2/someone/private/blobs/uploads/0a?_state=b%2Fc&digest=sha256%3Aab"
TOKEN = "/token?nonce=1&scope=repository%3Aa%2Fb%3Apull,push&service=c&ts=2&x=%2f%2F+%7e"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", TOKEN, b""),
        ("POST", "/v2/someone/private/blobs/uploads/", b""),
        ("PATCH", UPLOAD, bytes(range(256))),
        ("PUT", "/v2/someone/private/manifests/latest", b'{"a":\r\n\r\n1}'),
        ("DELETE", "/v2/someone/private/manifests/latest", b""),
        ("GET", f"/v2/someone/private/chunksums/sha256:{'ab' * 32}?x=%2f", b""),
        ("BREW", "/", b"tea"),
    ],
)
async def test_a_request_arrives_as_it_was_sent(
    open_door: OpenDoor, internet: Internet, scheme: str, method: str, target: str, body: bytes
) -> None:
    tls = internet.context(NAME) if scheme == "https" else None
    async with (
        RawOrigin().serve(tls) as origin,
        open_door(f"{scheme}://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        lines = ("Authorization: Bearer abc", f"Content-Length: {len(body)}", "X-Own: a  b")
        assert (await wire.ask(request(method, target, *lines, body=body))).status == 200
        (arrived,) = origin.requests
        assert arrived.lines[0] == f"{method} {target} HTTP/1.1".encode()
        assert arrived.values("Host") == [NAME]
        assert arrived.values("Authorization") == ["Bearer abc"]
        assert arrived.values("X-Own") == ["a  b"]
        assert arrived.values("Via") == [f"1.1 {PSEUDONYM}"]
        assert arrived.body == body


async def test_a_chunked_body_arrives_whole(open_door: OpenDoor) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        head = request("PATCH", UPLOAD, "Transfer-Encoding: chunked")
        assert (await wire.ask(head + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")).status == 200
        assert origin.requests[0].body == b"abcde"


async def test_claims_about_who_asks_go_no_further_and_hops_before_us_do(
    open_door: OpenDoor,
) -> None:
    lines = (
        *("Forwarded: for=1.2.3.4", "X-Forwarded-For: 1.2.3.4", "x-forwarded-port: 1"),
        *("X-FORWARDED-HOST: a", "X-Forwarded-Proto: https", "Via: 1.1 another-box"),
    )
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        await wire.ask(request("GET", TOKEN, *lines))
        assert b"forwarded" not in origin.requests[0].head.lower()
        assert origin.requests[0].values("Via") == ["1.1 another-box", f"1.1 {PSEUDONYM}"]


async def test_an_origin_of_another_name_gets_its_own_as_host(open_door: OpenDoor) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://models.lan:{origin.port}") as door,
        door.dial() as wire,
    ):
        await wire.ask(request("GET", TOKEN))
        assert origin.requests[0].values("Host") == [f"models.lan:{origin.port}"]


async def test_a_redirect_is_passed_on_as_it_came(open_door: OpenDoor) -> None:
    location = "https://cdn.example/ab?X-Amz-Signature=%2fA%2F&x=a+b%20c"
    response = (
        f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nX-Own: 1\r\nX-Own: 2\r\n"
        "Content-Length: 4\r\n\r\nhere"
    )
    async with (
        RawOrigin(response.encode()).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", f"/v2/a/b/blobs/sha256:{'a' * 64}"))
        assert (answer.status, answer.fields["Location"]) == (307, location)
        assert answer.body == b"here"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    ],
    ids=["chunked", "counted"],
)
async def test_a_response_s_body_is_passed_on(open_door: OpenDoor, response: bytes) -> None:
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            assert (await wire.ask(request("GET", TOKEN))).body == b"abcde"
        assert origin.connection_count == 1


async def test_a_response_streams_to_the_client_before_it_is_whole(open_door: OpenDoor) -> None:
    read_half = asyncio.Event()

    async def halting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await read_half.wait()
        writer.write(b"more")
        await writer.drain()

    async with (
        RawOrigin(interrupt=halting).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.send(request("GET", TOKEN))
        await wire.reader.readuntil(b"half")
        read_half.set()
        assert await wire.reader.readexactly(4) == b"more"


async def test_a_response_that_is_cut_is_cut_for_the_client_too(open_door: OpenDoor) -> None:
    async def cutting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await writer.drain()

    async with (
        RawOrigin(interrupt=cutting).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", TOKEN))
        assert (answer.body, answer.is_cut) == (b"half", True)
        assert await wire.rest() == b""


async def test_a_large_body_goes_through_in_small_memory(open_door: OpenDoor) -> None:
    size_bytes, piece = 50 << 20, bytes(1 << 16)
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        tracemalloc.start()
        try:
            wire.send(request("PATCH", UPLOAD, f"Content-Length: {size_bytes}"))
            for _ in range(size_bytes // len(piece)):
                wire.send(piece)
                await wire.writer.drain()
            assert (await wire.ask(b"")).status == 200
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert origin.requests[0].body_size_bytes == size_bytes
        assert peak_bytes < 12 << 20


async def test_an_origin_that_reads_nothing_holds_the_client_back(open_door: OpenDoor) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own.
        begun.set()
        await over.wait()

    async with (
        RawOrigin(interrupt=deaf).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        sent, size_bytes = 0, 64 << 20
        wire.send(request("PATCH", UPLOAD, f"Content-Length: {size_bytes}"))
        with contextlib.suppress(TimeoutError):
            while sent < size_bytes:
                wire.send(bytes(HEAD_SIZE_BYTES_MAX))
                async with asyncio.timeout(0.5):
                    await wire.writer.drain()
                sent += HEAD_SIZE_BYTES_MAX
        assert begun.is_set()
        assert sent < size_bytes  # What fits the sockets between; the door adds little.
        over.set()


async def test_a_certificate_that_is_not_the_origin_s_gets_502_and_no_request(
    open_door: OpenDoor, internet: Internet
) -> None:
    async with RawOrigin().serve(internet.context("google.com")) as origin:
        url = f"https://{NAME}:{origin.port}"
        async with open_door(url) as door, door.dial() as wire:
            answer = await wire.ask(request("GET", TOKEN, "Authorization: Bearer abc"))
            assert answer.status == 502
            assert b"Bearer" not in answer.body
        assert origin.requests == []


async def test_a_certificate_of_an_unknown_authority_gets_502(open_door: OpenDoor) -> None:
    stranger = Internet(trustme.CA(), "nobody has its roots")
    async with RawOrigin().serve(stranger.context(NAME)) as origin:
        url = f"https://{NAME}:{origin.port}"
        async with open_door(url) as door, door.dial() as wire:
            assert (await wire.ask(request("GET", TOKEN))).status == 502
        assert origin.requests == []


async def test_an_origin_that_is_down_gets_502(open_door: OpenDoor) -> None:
    async with open_door(f"http://{NAME}:1") as door, door.dial() as wire:
        assert (await wire.ask(request("GET", TOKEN))).status == 502


@pytest.mark.parametrize(
    "error",
    [
        NameUnresolvableError("no server answers", "set dns.upstream"),
        AddressRefusedError("192.168.0.1", "private", "set origin.allow_private"),
    ],
    ids=["unresolvable", "refused"],
)
async def test_a_name_that_may_not_be_dialled_gets_502_and_the_reason(
    open_door: OpenDoor, error: NameUnresolvableError | AddressRefusedError
) -> None:
    async def resolve(_: str) -> tuple[str, ...]:
        raise error

    async with RawOrigin().serve() as origin:
        url = f"http://{NAME}:{origin.port}"
        async with open_door(url, resolve=resolve) as door, door.dial() as wire:
            answer = await wire.ask(request("GET", TOKEN))
            assert answer.status == 502
            assert error.hint in answer.body.decode()
        assert origin.connection_count == 0


async def test_the_office_s_proxy_is_asked_for_the_name_by_connect(
    open_door: OpenDoor, internet: Internet
) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(office.requests[0].lines[0])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.start_tls(internet.context(NAME))
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async def unasked(_: str) -> tuple[str, ...]:
        raise AssertionError("the proxy resolves names")

    office = RawOrigin(interrupt=tunnel)
    async with office.serve():
        proxy = f"http://127.0.0.1:{office.port}"
        url = f"https://{NAME}"
        async with open_door(url, resolve=unasked, proxy=proxy) as door, door.dial() as wire:
            assert (await wire.ask(request("GET", TOKEN))).body == b"ok"
    assert asked == [
        f"CONNECT {NAME}:443 HTTP/1.1".encode(),
        f"GET {TOKEN} HTTP/1.1".encode(),
    ]


async def test_a_request_that_comes_back_to_us_is_a_loop(open_door: OpenDoor) -> None:
    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        async with door.dial() as wire:
            lines = ("Via: 1.1 another", f"Via: 1.0 a, 1.1 {PSEUDONYM}")
            assert (await wire.ask(request("GET", TOKEN, *lines))).status == 508
        assert origin.connection_count == 0


async def test_a_client_that_leaves_takes_its_upstream_socket_along(open_door: OpenDoor) -> None:
    asked, left = asyncio.Event(), asyncio.Event()

    async def patient(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        assert await reader.read() == b""
        left.set()

    async with (
        RawOrigin(interrupt=patient).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
    ):
        async with door.dial() as wire:
            wire.send(request("GET", TOKEN))
            await asked.wait()
        await door.settle()
        async with asyncio.timeout(5):
            await left.wait()


async def test_an_upgrade_that_the_origin_grants_is_closed(open_door: OpenDoor) -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    async with (
        RawOrigin(switching).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
    ):
        async with dial(door.port, trusted=door.trusted, name=NAME) as wire:
            wire.send(request("GET", TOKEN, "Upgrade: x", "Connection: upgrade"))
            await wire.rest()
        await door.settle()
        assert await door.still_serves()


HOPS = (
    *("Connection: keep-alive, X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "TE: trailers"),
    *("Proxy-Connection: keep-alive", "Proxy-Authorization: Basic YTpi", "Upgrade: h2c"),
)


async def test_what_concerns_the_client_s_connection_goes_no_further(open_door: OpenDoor) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            await wire.ask(request("GET", TOKEN, *HOPS))
        names = [line.partition(b":")[0].decode() for line in origin.requests[0].lines[1:]]
        assert names == ["Host", "Via"]
        assert origin.connection_count == 1


async def test_a_client_that_closes_does_not_close_the_origin_s_side(open_door: OpenDoor) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        assert (await wire.ask(request("GET", TOKEN, "Connection: close"))).status == 200
        assert await wire.rest() == b""
        assert origin.requests[0].values("Connection") == []


async def test_what_concerns_the_origin_s_connection_stays_there(open_door: OpenDoor) -> None:
    fields = b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n"
    response = b"HTTP/1.1 200 OK\r\n" + fields + b"x-oWn: a  b\r\nContent-Length: 2\r\n\r\nok"
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            answer = await wire.ask(request("GET", TOKEN))
            assert answer.fields == {"X-Own": "a  b", "Content-Length": "2"}
        assert origin.connection_count == 2


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"


@pytest.mark.parametrize("response", [CHUNKED, COUNTED], ids=["chunked", "counted"])
async def test_a_client_of_http_1_0_gets_no_chunks_and_the_end(
    open_door: OpenDoor, response: bytes
) -> None:
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.send(f"GET {TOKEN} HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
        head, _, body = (await wire.rest()).partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"transfer-encoding" not in head.lower()
        assert origin.requests[0].lines[0].endswith(b" HTTP/1.1")


async def test_an_origin_of_http_1_0_is_read_to_its_end(open_door: OpenDoor) -> None:
    async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nto the end")
        await writer.drain()

    async with (
        RawOrigin(interrupt=closing).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", TOKEN))
        assert (answer.status, answer.body) == (200, b"to the end")
        assert answer.fields["Connection"] == "close"


async def test_a_body_that_waits_for_leave_gets_it(open_door: OpenDoor) -> None:
    lines = ("Expect: 100-continue", "Content-Length: 3")
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            wire.send(request("PATCH", UPLOAD, *lines))
            assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await wire.ask(b"abc")).status == 200
        assert [each.body for each in origin.requests] == [b"abc", b"abc"]
        assert origin.requests[0].values("Expect") == []


@pytest.mark.parametrize("target", ["/v2/_catalog?n=2&last=a%2fB", "/v2/a/b/tags/list", "/a;b=c?+"])
@pytest.mark.parametrize("method", ["OPTIONS", "PROPFIND", "HEAD", "GET", "DELETE"])
async def test_what_nobody_here_knows_is_the_origin_s_to_answer(
    open_door: OpenDoor, method: str, target: str
) -> None:
    response = b"HTTP/1.1 207 Multi-Status\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n"
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request(method, target))
        assert (answer.status, answer.fields["X-A"]) == (207, "1")
        assert origin.requests[0].lines[0] == f"{method} {target} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("scheme", "name", "location", "arrives"),
    [
        (
            "http",
            "models.lan",
            "http://models.lan:{port}/v2/a?_state=%2f+",
            "https://{us}/v2/a?_state=%2f+",
        ),
        ("http", "models.lan", "https://cdn.example/ab?x=%2f", "https://cdn.example/ab?x=%2f"),
        ("http", "models.lan", "http://models.lan.evil/", "http://models.lan.evil/"),
        ("http", "models.lan", "/v2/a/blobs/uploads/1", "/v2/a/blobs/uploads/1"),
        ("https", NAME, "https://{us}/v2/a?_state=%2f+", "https://{us}/v2/a?_state=%2f+"),
    ],
)
async def test_an_upload_s_url_leads_by_us_and_every_other_is_untouched(
    open_door: OpenDoor, internet: Internet, scheme: str, name: str, location: str, arrives: str
) -> None:
    tls = internet.context(name) if scheme == "https" else None
    async with (
        RawOrigin().serve(tls) as origin,
        open_door(f"{scheme}://{name}:{origin.port}") as door,
        door.dial() as wire,
    ):
        said = location.format(port=origin.port, us=NAME)
        challenge = f'Bearer realm="http://{name}:{origin.port}/token",service="a"'
        lines = (f"Location: {said}", f"WWW-Authenticate: {challenge}", "Content-Length: 0")
        origin.response = "\r\n".join(("HTTP/1.1 202 Accepted", *lines, "", "")).encode()
        answer = await wire.ask(request("POST", "/v2/a/b/blobs/uploads/"))
        assert answer.fields["Location"] == arrives.format(us=NAME)
        assert answer.fields["Www-Authenticate"] == challenge


@pytest.mark.parametrize(
    "target",
    [
        "/token?scope=a%2Fb%3Apull%2cpush&scope=&&=&service",
        "/token?a+b=c%20d;e=f;&g=%7E~%2E.%2f/?x=?#",
        "/token?x=%e4%b8%ad%FF%00%0d&'=\"<>|^`{}",
        "/tok%65n/%41;v=1//?",
        "/token?" + "n=%2b+&" * 900,
    ],
)
async def test_a_signed_target_arrives_to_the_byte_or_not_at_all(
    open_door: OpenDoor, target: str
) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", target))
        if answer.status == 400:  # It can be read in two ways, or is no request target.
            assert "//" in target
            assert origin.requests == []
        else:
            assert origin.requests[0].lines[0] == f"GET {target} HTTP/1.1".encode()


async def test_a_challenge_is_passed_on_to_the_byte(open_door: OpenDoor) -> None:
    challenge = 'Bearer realm="https://ollama.com/token?x=%2f+;",service="a b",scope="r:x:pull"'
    body = b'{"errors":[{"code":"UNAUTHORIZED"}]}\n'
    head = f"HTTP/1.1 401 no\r\nwww-authenticate:  {challenge}\r\nContent-Length: {len(body)}\r\n"
    async with (
        RawOrigin(head.encode() + b"\r\n" + body).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", "/v2/a/b/manifests/x", "Authorization: Bearer x"))
        assert (answer.status, answer.body) == (401, body)
        assert answer.fields == {
            "Www-Authenticate": challenge,
            "Content-Length": str(len(body)),
        }


async def test_an_answer_that_does_not_wait_for_the_body_comes_at_once(
    open_door: OpenDoor,
) -> None:
    """As the registry redirects a part of an upload: whoever sent it, stops and goes there."""

    async def redirecting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 307 x\r\nLocation: https://cdn/put\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with (
        RawOrigin(interrupt=redirecting).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        lines = (
            "X-Redirect-Uploads: 1",
            "Content-Range: 0-999999999",
            "Content-Length: 1000000000",
        )
        answer = await wire.ask(request("PATCH", UPLOAD, *lines, body=bytes(100_000)))
        assert (answer.status, answer.fields["Location"]) == (307, "https://cdn/put")
        assert origin.requests[0].values("X-Redirect-Uploads") == ["1"]
        assert origin.requests[0].values("Content-Range") == ["0-999999999"]


async def test_a_client_that_reads_nothing_holds_the_origin_back(open_door: OpenDoor) -> None:
    size_bytes, sent = 128 << 20, [0]
    is_held = asyncio.Event()

    async def pouring(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size_bytes)
        while sent[0] < size_bytes:
            writer.write(bytes(1 << 16))
            sent[0] += 1 << 16
            try:
                async with asyncio.timeout(0.5):
                    await writer.drain()
            except TimeoutError:
                is_held.set()
                await writer.drain()

    async with (
        RawOrigin(interrupt=pouring).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.reader._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own.
        tracemalloc.start()
        try:
            wire.send(request("GET", BLOB_OF_NOBODY, "Authorization: Bearer x"))
            await is_held.wait()
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sent[0] < size_bytes  # What fits the sockets between; the door adds little.
        assert peak_bytes < 4 << 20
        wire.reader._transport.resume_reading()  # type: ignore[attr-defined]
        answer = await wire.answer()
        assert answer is not None
        assert (answer.status, len(answer.body)) == (200, size_bytes)


async def test_chunks_in_http_1_0_are_refused(open_door: OpenDoor) -> None:
    head = f"POST {UPLOAD} HTTP/1.0\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(head.encode() + b"1\r\na\r\n0\r\n\r\n")
        assert answer.status == 400
        assert (
            b"option" not in answer.body
        )  # mitmproxy's advice is about settings that are not ours.
        assert origin.connection_count == 0
