"""The bounds of the TLS door, by raw bytes after real handshakes: an answer or a closed door."""

import asyncio
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mitmproxy import ctx
from mitmproxy.proxy.layers.http._http1 import Http1Server

from addons import guard, master
from addons.inline import LendableConnection
from addons.internals import MitmproxyChangedError
from addons.responses import BoundedHttp1Client
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.corpus import AMBIGUOUS, GARBAGE, requests_of_any_kind
from tests.fakes.wire import RawOrigin, Wire

PING = request("GET", "/v2/")


def buffered_bytes() -> int:
    """What the door keeps of its clients' heads and bodies, in all layers and readers."""
    total = 0
    for handler in ctx.master.addons.get("proxyserver").connections.values():
        for streams in handler.transports.values():
            total += len(streams.reader._buffer) if streams.reader else 0
        for layer in handler.layer.context.layers:
            total += len(layer.buf) if isinstance(layer, Http1Server) else 0
            connections = getattr(layer, "connections", {}).values()
            total += sum(len(each.buf) for each in connections if isinstance(each, Http1Server))
            for stream in getattr(layer, "streams", {}).values():
                total += len(stream.request_body_buf)
                total += sum(len(getattr(e, "data", b"")) for e in stream._paused_event_queue)
    return total


async def push(wire: Wire, content: bytes) -> None:
    """Send as much of `content` as the door takes."""
    try:
        wire.send(content)
        await wire.writer.drain()
    except OSError:
        return


@pytest.mark.parametrize("content", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_never_forwarded(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        async with door.dial() as wire:
            wire.send(content)
            answer = await wire.answer()
            assert answer is None or 400 <= answer.status < 500
        await door.settle()
        assert origin.connection_count == 0
        assert await door.still_serves()


@pytest.mark.parametrize("content", GARBAGE)
async def test_a_body_that_breaks_off_its_framing_closes_the_connection(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        async with door.dial() as wire:
            wire.send(content)
            assert all(400 <= answer.status < 600 for answer in await wire.answers())
        await door.settle()
        assert await door.still_serves()


async def test_a_large_head_is_refused_and_not_kept(door: Door) -> None:
    async with door.dial() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: registry.ollama.ai\r\nX-Padding: ")
        kept = []
        for _ in range(80):  # 5 MiB
            await push(wire, b"a" * HEAD_SIZE_BYTES_MAX)
            kept.append(buffered_bytes())
        assert max(kept) <= 8 * HEAD_SIZE_BYTES_MAX
        answer = await wire.answer()
        assert answer is None or answer.status == 431
    await door.settle()


async def test_many_small_fields_are_too_large_too(door: Door) -> None:
    fields = (f"X-{number}: {'a' * 90}" for number in range(700))
    async with door.dial() as wire:
        wire.send(request("GET", "/v2/", *fields))
        answer = await wire.answer()
        assert answer is None or answer.status == 431


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /v2/ HTTP/1.1\r\nHost: reg"])
async def test_a_slow_head_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS_MAX", 0.05)
    async with door.dial() as wire:
        wire.send(begun)
        answer = await wire.answer()
        assert answer is None or answer.status == 408
        assert await wire.rest() == b""
    await door.settle()


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "])
async def test_a_head_that_drips_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS_MAX", 0.1)
    async with door.dial() as wire:
        wire.send(begun)
        answer = await wire.drip(b"a")
        assert answer is None or answer.status == 408
    await door.settle()


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(PING, id="after an answer"),
        pytest.param(request("PATCH", "/v2/a/b/blobs/uploads/", "Content-Length: 9"), id="a body"),
    ],
)
async def test_a_connection_that_falls_silent_is_closed(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(master, "IDLE_SECONDS_MAX", 1.0)  # mitmproxy counts whole seconds.
    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        async with door.dial() as wire:
            wire.send(begun)
            await wire.answers()
        await door.settle()


async def test_a_slow_head_behind_a_whole_request_is_closed_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS_MAX", 0.05)
    async with door.dial() as wire:
        assert (await wire.ask(PING + b"GET /v2/ HT")).status == 200
        answer = await wire.answer()
        assert answer is None or answer.status == 408
        assert await wire.rest() == b""


async def test_an_idle_connection_outlives_the_deadline_of_its_heads(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS_MAX", 0.0)
    async with door.dial() as wire:
        assert (await wire.ask(PING)).status == 200
        async with door.dial() as other:  # Whose deadline passes while the first one idles.
            assert await other.answer() is not None
        assert (await wire.ask(PING)).status == 200


async def test_pipelined_requests_are_answered_in_order(door: Door) -> None:
    async with door.dial() as wire:
        wire.send(PING + request("GET", "/v2/%2e") + PING)
        assert [(await wire.ask(b"")).status for _ in range(3)] == [200, 400, 200]


async def test_empty_lines_before_a_head_are_ignored(door: Door) -> None:
    async with door.dial() as wire:
        assert (await wire.ask(b"\r\n\n\r\n" + PING)).status == 200
        assert (await wire.ask(b"\r\n" + PING)).status == 200


async def test_what_comes_before_its_turn_is_bounded(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture
) -> None:
    """Nothing is said into the response under way, either."""
    asked = asyncio.Event()

    async def never(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        asked.set()
        await asyncio.Event().wait()

    async with (
        RawOrigin(interrupt=never).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
    ):
        async with door.dial() as wire:
            wire.send(request("GET", "/token"))
            await asked.wait()
            kept = []
            for _ in range(80):
                await push(wire, b"a" * HEAD_SIZE_BYTES_MAX)
                kept.append(buffered_bytes())
            assert max(kept) <= 8 * HEAD_SIZE_BYTES_MAX
            answer = await wire.answer()
            assert answer is None or (answer.is_cut and answer.body == b"half")
        await door.settle()


async def test_a_body_stays_with_its_client_until_the_way_is_open(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture
) -> None:
    opened = asyncio.Event()

    async def resolve(_: str) -> tuple[str, ...]:
        await opened.wait()
        return ("127.0.0.1",)

    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}", resolve=resolve) as door,
        door.dial() as wire,
    ):
        size_bytes = 8 << 20
        wire.send(request("PATCH", "/v2/a/b/blobs/uploads/x", f"Content-Length: {size_bytes}"))
        async with asyncio.TaskGroup() as group:
            group.create_task(push(wire, bytes(size_bytes)))
            for _ in range(2000):  # Turns of the loop, in which a door that reads would read all.
                await asyncio.sleep(0)
            assert buffered_bytes() > 0
            assert buffered_bytes() <= 1 << 20
            opened.set()
            assert (await wire.ask(b"")).status == 200
        assert origin.requests[0].body_size_bytes == size_bytes


@pytest.mark.parametrize("trailer", [b"X-Trailer: a", b"X-Trailer: \0"])
async def test_trailers_close_the_connection(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture, trailer: bytes
) -> None:
    chunked = request("PATCH", "/v2/a/b/blobs/uploads/x", "Transfer-Encoding: chunked")
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.send(chunked + b"1\r\na\r\n0\r\n" + trailer + b"\r\n\r\n")
        assert await wire.answer() is None
        assert await door.still_serves()


async def test_a_failure_of_mitmproxy_s_closes_the_connection(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: BoundedHttp1Client, event: object) -> NoReturn:
        raise RuntimeError("a bug")

    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        with monkeypatch.context() as patched:
            patched.setattr(BoundedHttp1Client, "read_headers", failing)
            async with door.dial() as wire:
                wire.send(request("GET", "/token"))
                await wire.rest()
        await door.settle()
        assert await door.still_serves()


@given(contents=st.lists(requests_of_any_kind(), min_size=1, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_valid_answer_or_a_closed_connection(
    open_door: OpenDoor,
    no_crash: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    contents: list[bytes],
) -> None:
    monkeypatch.setattr(guard, "HEAD_SECONDS_MAX", 0.05)
    monkeypatch.setattr(master, "IDLE_SECONDS_MAX", 1.0)

    async def send_them() -> None:
        async with open_door() as door:
            async with door.dial() as wire:
                wire.send(b"".join(contents))
                wire.send(request("GET", "/v2/", "Connection: close"))
                await wire.answers()
            await door.settle()
            assert await door.still_serves()

    asyncio.run(send_them())


def test_the_internals_are_where_they_were() -> None:
    guard.check_internals()


def test_a_mitmproxy_that_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Http1Server, "read_headers")
    monkeypatch.setattr(Http1Server.__mro__[1], "read_headers", None)
    with pytest.raises(MitmproxyChangedError, match="read_headers"):
        guard.check_internals()


async def test_an_answer_is_one_record(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and content apart are two packets, and two wake-ups of the client."""
    sealed: list[int] = []
    seal = LendableConnection.sendall

    def count(self: LendableConnection, buf: bytes, flags: int = 0) -> int:
        sealed.append(len(buf))
        return seal(self, buf, flags)

    monkeypatch.setattr(LendableConnection, "sendall", count)
    door.shop.source.publish("tiny", b"abc")
    async with door.dial() as wire:
        for number in (1, 2):
            answer = await wire.ask(request("GET", "/v2/library/tiny/manifests/latest"))
            assert (answer.status, len(sealed)) == (200, number)
            assert sealed[-1] > len(answer.body) > 0
