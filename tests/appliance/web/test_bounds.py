"""The bounds of the plain door, by raw bytes: an answer or a closed door."""

import asyncio
import logging
import socket

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.policy.turnstile import Turnstile
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from appliance.web import bounds, forms
from appliance.web.bounds import Admission, Site
from tests.appliance.web.conftest import Door, OpenDoor, request, roomy_turnstile
from tests.fakes.corpus import AMBIGUOUS, GARBAGE, requests_of_any_kind
from tests.fakes.wire import Wire

PING = request("/v2/")


async def still_serves(door: Door) -> bool:
    return (await door.ask("/v2/")).status == 200


async def push(wire: Wire, content: bytes) -> None:
    """Send as much of `content` as the door takes."""
    try:
        wire.send(content)
        await wire.writer.drain()
    except OSError:
        return


def assert_no_error(caplog: pytest.LogCaptureFixture) -> None:
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert not errors, errors[0].getMessage()


@pytest.mark.parametrize("content", [*AMBIGUOUS, *GARBAGE])
async def test_what_can_be_read_in_two_ways_is_refused(
    door: Door, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with door.dial() as wire:
        wire.send(content)
        answer = await wire.answer()
        assert answer is None or 400 <= answer.status < 500
    assert await still_serves(door)
    assert_no_error(caplog)


async def test_a_large_head_is_closed(door: Door) -> None:
    async with door.dial() as wire:
        wire.send(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nX-Padding: ")
        for _ in range(80):
            await push(wire, b"a" * HEAD_SIZE_BYTES_MAX)
        answer = await wire.answer()
        assert answer is None or 400 <= answer.status < 500
    assert await still_serves(door)


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /v2/ HTTP/1.1\r\nHost: reg"])
async def test_a_slow_head_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.05)
    async with door.dial() as wire:
        wire.send(begun)
        assert await wire.rest() == b""


async def test_a_slow_second_head_is_closed_too(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with door.dial() as wire:
        assert (await wire.ask(PING)).status == 200
        monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.05)
        wire.send(b"GET /v2/ HT")
        assert await wire.rest() == b""


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: "])
async def test_a_head_that_drips_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.1)
    async with door.dial() as wire:
        wire.send(begun)
        answer = await wire.drip(b"a")
        assert answer is None or answer.status == 400


@pytest.mark.parametrize("framing", ["Content-Length: 9999", "Transfer-Encoding: chunked"])
async def test_a_body_that_drips_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, framing: str
) -> None:
    monkeypatch.setattr(forms, "BODY_SECONDS_MAX", 0.1)
    async with door.dial() as wire:
        page = "Origin: http://box.lan"
        wire.send(request("/login", page, framing, method="POST", host="box.lan"))
        assert await wire.drip(b"1\r\na\r\n") is None
    assert await still_serves(door)


async def test_a_connection_may_idle_longer_than_a_head_may_take(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.05)
    async with door.dial() as wire:
        assert (await wire.ask(PING)).status == 200
        async with door.dial() as other:
            assert await other.rest() == b""  # Whose deadline came later.
        assert (await wire.ask(PING)).status == 200


async def test_an_idle_connection_is_closed(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "IDLE_SECONDS_MAX", 0.05)
    async with open_door() as door, door.dial() as wire:
        assert (await wire.ask(PING)).status == 200
        assert await wire.rest() == b""


async def test_pipelined_requests_are_bounded_and_answered(door: Door) -> None:
    async with door.dial() as wire, asyncio.TaskGroup() as group:
        pushing = group.create_task(push(wire, PING * 5000))
        for _ in range(5000):
            answer = await wire.answer()
            assert answer is not None
            assert answer.status == 200
        await pushing


async def test_stopping_waits_for_a_body_only_so_long(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "DRAIN_SECONDS", 0.05)
    async with open_door() as door:
        door.shop.source.publish("tiny", b"a" * 1000)
        assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200
        door.shop.source.gate.clear()
        opened = door.dial()
        wire = await opened.__aenter__()
        wire.send(request(door.shop.grant("tiny", b"a" * 1000)))
        await wire.reader.readuntil(b"\r\n\r\n")
    assert await wire.rest() == b""
    await opened.__aexit__(None, None, None)


async def test_a_connection_of_another_door_is_served_from_its_head_on() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=request.path)

    app = web.Application()
    app.router.add_get("/{rest:.*}", handle)
    async with Site(app, (), Admission(lambda _: True, roomy_turnstile())) as site:
        near, far = connected_pair()
        await site.take(far, b"GET /blobs/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        reader, writer = await asyncio.open_connection(sock=near)
        assert (await reader.read()).endswith(b"\r\n\r\n/blobs/x")
        writer.close()


def connected_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


# Who may connect, and how many.


def turnstile(connections_max: int) -> Turnstile:
    return Turnstile(lambda _: False, connections_max=connections_max)


@pytest.mark.parametrize("content", [b"\0", b"GET / HTTP/9.9\r\n\r\n", b"x" * 100_000])
async def test_a_stranger_is_denied_whatever_it_sends(open_door: OpenDoor, content: bytes) -> None:
    async with open_door(is_allowed=lambda _: False) as door, door.dial() as wire:
        await push(wire, content)
        answer = await wire.answer()
        assert answer is None or answer.status == 403


async def test_a_stranger_that_says_nothing_is_closed(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.05)
    async with open_door(is_allowed=lambda _: False) as door, door.dial() as wire:
        assert await wire.rest() == b""


async def test_strangers_take_no_more_than_one_address_may(open_door: OpenDoor) -> None:
    doors = turnstile(8)
    opened = open_door(is_allowed=lambda _: False, turnstile=doors)
    async with opened as door, door.dial(), door.dial(), door.dial() as wire:
        assert await wire.rest() == b""
    assert doors.refused_count == 1


async def test_a_rule_that_cannot_be_told_lets_nobody_in(open_door: OpenDoor) -> None:
    def broken(_: str) -> bool:
        raise OSError("no interfaces")

    async with open_door(is_allowed=broken) as door:
        assert (await door.ask("/v2/")).status == 403


async def test_one_connection_too_many_is_closed_and_the_others_go_on(open_door: OpenDoor) -> None:
    doors = turnstile(8)
    async with open_door(turnstile=doors) as door:
        async with door.dial() as first, door.dial() as second:
            assert (await first.ask(PING)).status == 200
            assert (await second.ask(PING)).status == 200
            async with door.dial() as third:
                assert await third.rest() == b""
            assert (await first.ask(PING)).status == 200
        async with asyncio.timeout(5):
            while doors.connection_count:  # noqa: ASYNC110  # aiohttp tells nobody.
                await asyncio.sleep(0)
        assert await still_serves(door)


@given(contents=st.lists(requests_of_any_kind(), min_size=1, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_valid_answer_or_a_closed_connection(
    open_door: OpenDoor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    contents: list[bytes],
) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS_MAX", 0.05)
    monkeypatch.setattr(bounds, "IDLE_SECONDS_MAX", 0.5)

    async def send_them() -> None:
        async with open_door() as door:
            async with door.dial() as wire:
                wire.send(b"".join(contents))
                wire.send(request("/v2/", "Connection: close"))
                wire.writer.write_eof()
                await read_all(wire, b"".join(contents))
            assert await still_serves(door)

    asyncio.run(send_them())
    assert_no_error(caplog)


async def read_all(wire: Wire, sent: bytes) -> None:
    """Read every answer; but which of them answers a HEAD, and has no body, cannot be told."""
    if b"HEAD" in sent:
        await wire.rest()
    else:
        await wire.answers()
