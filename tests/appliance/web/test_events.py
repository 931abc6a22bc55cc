"""Events: what changes is told once a second at most, to so many, and until the box stops."""

import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from appliance.web import events
from tests.appliance.web.conftest import Door, OpenDoor, request
from tests.fakes.wire import Wire


async def begin(wire: Wire) -> None:
    wire.send(request("/api/events"))
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"Content-Type: text/event-stream" in head
    assert await chunk(wire) == "retry: 3000\n\n"


async def chunk(wire: Wire) -> str:
    """One chunk of the body; "" at its end."""
    size = int((await wire.reader.readuntil(b"\r\n")).strip(), 16)
    content = await wire.reader.readexactly(size + 2)
    return content[:-2].decode()


async def state(wire: Wire) -> dict[str, Any]:
    name, data, *rest = (await chunk(wire)).split("\n")
    assert (name, rest) == ("event: state", ["", ""])
    document: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return document


async def test_what_changes_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    async with door.dial() as wire:
        await begin(wire)
        assert (await state(wire))["status"] == "healthy"
        door.checks.clear()
        assert (await state(wire))["status"] == "unhealthy"


async def test_while_nothing_changes_it_is_still_there(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "QUIET_SECONDS_MAX", 0.02)
    async with door.dial() as wire:
        await begin(wire)
        await state(wire)
        while (told := await chunk(wire)).startswith("event: state"):
            pass  # The free space of a disk in use moves.
        assert told == ": still here\n\n"


async def test_so_many_watch_and_no_more(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "WATCHERS_MAX", 1)
    async with door.dial() as wire:
        await begin(wire)
        answer = await door.ask("/api/events")
    assert answer.status == 503
    assert "/api/sessions" in json.loads(answer.body)["hint"]


async def test_a_stream_ends_when_the_box_stops(open_door: OpenDoor) -> None:
    """And with its proper end, so that the browser comes again: it was not cut."""
    async with AsyncExitStack() as stack:
        async with open_door() as door:
            wire = await stack.enter_async_context(door.dial())
            await begin(wire)
            await state(wire)
        while await chunk(wire):
            pass


async def test_a_watcher_that_leaves_makes_room(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "QUIET_SECONDS_MAX", 0.0)
    monkeypatch.setattr(events, "WATCHERS_MAX", 1)
    async with door.dial() as wire:
        await begin(wire)
    while (await door.ask("/health")).status == 200:
        async with door.dial() as wire:
            wire.send(request("/api/events"))
            if b" 200 " in await wire.reader.readuntil(b"\r\n"):
                return
