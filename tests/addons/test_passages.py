"""How long what passes through may take, and that its end is waited for."""

import asyncio
from dataclasses import dataclass, field

import pytest

from addons import passages
from tests.addons.conftest import NAME, Door, Internet, OpenDoor, request
from tests.fakes.wire import NOTHING, RawOrigin

UPLOAD = "/v2/someone/private/blobs/uploads/0a?digest=sha256%3Aab"


@dataclass
class Thinker:
    """An origin that answers when it is told to."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.told.wait()
        writer.write(NOTHING)
        await writer.drain()


def may_time_out(door: Door) -> bool:
    """Whether a minute without a byte would close the one connection of `door`."""
    (handler,) = door.proxy._proxyserver.connections.values()
    return handler.timeout_watchdog.can_timeout.is_set()


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_origin_may_think_for_longer_than_a_client_may_idle(
    open_door: OpenDoor, method: str
) -> None:
    thinker = Thinker()
    async with (
        RawOrigin(interrupt=thinker.answer).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.send(request(method, UPLOAD, "Content-Length: 0"))
        await thinker.asked.wait()
        assert not may_time_out(door)
        thinker.told.set()
        assert (await wire.ask(b"")).status == 200
        assert may_time_out(door)
        assert not door.proxy._passages.is_busy


async def test_a_body_that_stops_on_its_way_has_the_clients_timeout(open_door: OpenDoor) -> None:
    thinker = Thinker()
    async with (
        RawOrigin(interrupt=thinker.answer).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        wire.send(request("PATCH", UPLOAD, "Content-Length: 9", body=b"half"))
        await thinker.asked.wait()
        assert may_time_out(door)


async def test_an_origin_that_thinks_for_ever_is_502(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "THINKING_SECONDS_MAX", 0.1)
    async with (
        RawOrigin(interrupt=Thinker().answer).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        assert (await wire.ask(request("GET", UPLOAD))).status == 502


async def test_an_origin_that_hangs_in_its_handshake_is_502(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "CONNECT_SECONDS", 0.1)
    async with (
        RawOrigin().serve() as origin,  # It waits for the end of a head, and gets a hello.
        open_door(f"https://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        assert (await wire.ask(request("GET", UPLOAD))).status == 502


async def test_a_connection_that_was_quick_to_open_is_kept(
    open_door: OpenDoor, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages, "CONNECT_SECONDS", 5.0)
    async with (
        RawOrigin().serve(internet.context(NAME)) as origin,
        open_door(f"https://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        assert (await wire.ask(request("GET", UPLOAD))).status == 200
        assert door.proxy._passages._dials == {}


async def test_a_client_that_leaves_is_waited_for_no_longer(open_door: OpenDoor) -> None:
    thinker = Thinker()
    async with (
        RawOrigin(interrupt=thinker.answer).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
    ):
        async with door.dial() as wire:
            wire.send(request("GET", UPLOAD))
            await thinker.asked.wait()
            assert door.proxy._passages.is_busy
        await door.settle()
        assert not door.proxy._passages.is_busy


async def test_a_push_under_way_ends_before_the_door_closes(open_door: OpenDoor) -> None:
    thinker = Thinker()
    async with RawOrigin(interrupt=thinker.answer).serve() as origin:
        opening = open_door(f"http://{NAME}:{origin.port}")
        door = await opening.__aenter__()
        async with door.dial() as wire, asyncio.TaskGroup() as group:
            wire.send(request("PATCH", UPLOAD, "Content-Length: 9", body=b"half"))
            await thinker.asked.wait()
            closing = group.create_task(opening.__aexit__(None, None, None))
            while door.proxy._acceptor.is_open:  # noqa: ASYNC110  # It tells nobody.
                await asyncio.sleep(0)
            wire.send(b"other")
            thinker.told.set()
            assert (await wire.ask(b"")).status == 200
        await closing
