"""mitmproxy inside our loop: what it leaves on disk, how it stops."""

import asyncio
from pathlib import Path

import pytest

from addons import master
from tests.addons.conftest import NAME, OpenDoor, request
from tests.fakes.wire import RawOrigin, dial


async def test_stopping_closes_idle_connections_and_the_port(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture
) -> None:
    async with open_door() as door:
        opened = door.dial()
        wire = await opened.__aenter__()
        assert (await wire.ask(request("GET", "/v2/"))).status == 200
    assert await wire.rest() == b""
    await opened.__aexit__(None, None, None)
    with pytest.raises(ConnectionRefusedError):
        async with dial(door.port):
            pass


async def test_a_request_under_way_is_answered_before_the_door_stops(open_door: OpenDoor) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def resolve(_: str) -> tuple[str, ...]:
        asked.set()
        await may_answer.wait()
        raise OSError("stopping")

    async with asyncio.TaskGroup() as group:
        async with open_door(resolve=resolve) as door:
            opened = door.dial()
            wire = await opened.__aenter__()
            asking = group.create_task(wire.ask(request("GET", "/token")))
            await asked.wait()
            asyncio.get_running_loop().call_later(0.05, may_answer.set)
        assert (await asking).status == 503
        await opened.__aexit__(None, None, None)


async def test_a_request_that_takes_too_long_does_not_keep_the_door_open(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master, "DRAIN_SECONDS", 0.05)
    asked = asyncio.Event()

    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with RawOrigin(interrupt=silent).serve() as origin:
        async with open_door(f"http://{NAME}:{origin.port}") as door:
            opened = door.dial()
            wire = await opened.__aenter__()
            wire.send(request("GET", "/token"))
            await asked.wait()
        assert door.proxy.connection_count == 0
        await wire.rest()
        await opened.__aexit__(None, None, None)


async def test_an_idle_connection_is_closed(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(master, "IDLE_SECONDS_MAX", 1.0)
    async with open_door() as door, door.dial() as wire:
        assert (await wire.ask(request("GET", "/v2/"))).status == 200
        assert await wire.rest() == b""


async def test_nothing_of_mitmproxy_s_is_ever_written(
    open_door: OpenDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with open_door() as door:
        assert await door.still_serves()
    assert [path for path in find_files(tmp_path) if "mitmproxy" in path] == []


def find_files(directory: Path) -> list[str]:
    return [str(path.relative_to(directory)) for path in directory.rglob("*")]


async def test_many_clients_at_once_are_counted_and_served(open_door: OpenDoor) -> None:
    async with open_door() as door:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(door.still_serves()) for _ in range(40)]
        assert all(each.result() for each in asking)
        await door.settle()
