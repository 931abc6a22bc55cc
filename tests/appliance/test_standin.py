"""A box whose disk is missing: stood in for, nothing written, started once the disk is there."""

import asyncio
import errno
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance import standin, supervisor
from appliance.cli.status import format_status
from appliance.config import Config
from appliance.control import BoxNotRunningError, call_health
from appliance.ground import (
    ROOM_BYTES_MIN,
    DiskFailedError,
    StateUnusableError,
    lay_ground,
)
from appliance.listeners import PortUnavailableError
from appliance.notify import Notifier
from appliance.standin import STANDS_IN, DiskFault, stand_in
from appliance.store.faults import DiskUnmountedError, StoreFullError, StoreUnmarkedError
from appliance.store.store import open_store
from tests.appliance.boxes import LOOPBACK, make_config, taken_port
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import REGISTRY, gives, until_true

TRUTH = "104.21.75.227"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standin, "LOOK_SECONDS", 0.02)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory that was used, whose disk is elsewhere."""
    state, disk = tmp_path / "state", tmp_path / "disk"
    open_store(state).close()
    state.rename(disk)
    (state / "ledger").mkdir(parents=True)
    return state


def mount(state: Path) -> None:
    state.rename(state.with_name("below"))
    state.with_name("disk").rename(state)


@dataclass
class Standing:
    """What stands in for a box in this process."""

    config: Config
    stopping: asyncio.Event
    said: list[str] = field(default_factory=list)

    async def health(self) -> tuple[int, dict[str, Any]]:
        url = f"http://{LOOPBACK}:{self.config.web.ports[0]}/health"
        async with aiohttp.ClientSession() as session, session.get(url) as reply:
            return reply.status, await reply.json()


@asynccontextmanager
async def standing(
    config: Config, fault: DiskFault | None = None, manager: Notifier | None = None
) -> AsyncIterator[Standing]:
    """Stand in until the context is left, or longer if the disk comes."""
    fault = fault or StoreUnmarkedError(config.state_dir, "its marker is missing")
    at, is_open = Standing(config, asyncio.Event()), asyncio.Event()

    def say(line: str) -> None:
        at.said.append(line)
        if line == STANDS_IN:
            is_open.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(stand_in(config, fault, say, manager or Notifier(""), at.stopping))
        await is_open.wait()
        yield at
        at.stopping.set()


async def test_it_says_why_and_what_to_do(state: Path) -> None:
    async with standing(make_config(state)) as at:
        assert at.said[0].startswith(f"without its disk: {state} was used before")
        assert "mount the disk that belongs at" in at.said[1]
        code, told = await at.health()
    assert (code, told["status"]) == (503, "unhealthy")
    assert not told["checks"]["disk"]["ok"]


async def test_dns_gives_the_true_address(state: Path) -> None:
    async with NameServer(zone(f"{REGISTRY} 300 A {TRUTH}")) as server:
        upstream = f"{server.at[0]}:{server.at[1]}"
        config = make_config(state, DNS_UPSTREAM=upstream, CACHE_OFFLINE="false")
        async with standing(config):
            at = (LOOPBACK, config.dns.port)
            await until_true(lambda: gives([TRUTH], at, REGISTRY))


async def test_nothing_is_written_where_the_disk_is_missing(state: Path) -> None:
    async with standing(make_config(state)) as at:
        await at.health()
    assert sorted(os.walk(state)) == [(str(state), ["ledger"], []), (str(state / "ledger"), [], [])]


async def test_it_makes_way_once_the_disk_is_there(state: Path) -> None:
    async with standing(make_config(state)) as at:
        mount(state)
        await until_true(lambda: _has_said(at, "the disk is there"))
    assert at.said[-1] == "the disk is there"


async def _has_said(at: Standing, line: str) -> bool:
    return line in at.said


async def test_a_box_starts_by_itself_once_its_disk_is_there(state: Path) -> None:
    said: list[str] = []
    config = make_config(state)

    def say(line: str) -> None:
        said.append(line)
        if line == STANDS_IN:
            mount(state)
        if line == "ready":
            os.kill(os.getpid(), signal.SIGTERM)

    await supervisor._run(config, say)
    assert said.index(STANDS_IN) < said.index("the disk is there") < said.index("ready")
    assert (state / "marker").exists()
    assert [path.name for path in state.with_name("below").iterdir()] == ["ledger"]


async def test_it_stops_while_it_waits(state: Path) -> None:
    def say(line: str) -> None:
        if line == STANDS_IN:
            os.kill(os.getpid(), signal.SIGTERM)

    await supervisor._run(make_config(state), say)


async def test_a_new_directory_in_place_of_the_used_one_is_taken(state: Path) -> None:
    async with standing(make_config(state)) as at:
        shutil.rmtree(state)
        await until_true(lambda: _has_said(at, "the disk is there"))


async def test_the_same_wrong_disk_is_not_tried_again_and_again(tmp_path: Path) -> None:
    """Marked, and refused for another reason: until that changes there is nothing to try."""
    state = tmp_path / "state"
    open_store(state).close()
    config = make_config(state)
    eyes = standin.Eyes(config, standin.look_at(state))
    assert not eyes.see_change()
    (state / "marker").write_text('{"format": 1, "store": "another"}')
    assert eyes.see_change()


async def test_a_service_manager_hears_that_it_is_up_and_alive(state: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        async with standing(make_config(state), manager=Notifier(str(tmp_path / "notify"))):
            told = [await asyncio.to_thread(heard.recv, 4096) for _ in range(3)]
    assert told[0].startswith(b"READY=1\nSTATUS=")
    assert told[1:] == [b"WATCHDOG=1", b"WATCHDOG=1"]


async def test_a_dns_port_that_a_killed_box_still_serves_is_left_to_it(state: Path) -> None:
    async with taken_port() as taken, standing(make_config(state, DNS_PORT=str(taken))) as at:
        assert any("DNS cannot start" in line for line in at.said)
        assert (await at.health())[0] == 503


async def test_a_port_that_was_chosen_is_had_or_it_is_an_error(state: Path) -> None:
    fault = StoreUnmarkedError(state, "its marker is missing")
    async with taken_port() as taken:
        config = make_config(state, TLS_PORT=str(taken))
        with pytest.raises(PortUnavailableError):
            await stand_in(config, fault, lambda _: None, Notifier(""), asyncio.Event())


async def test_a_disk_that_fails_is_stood_in_for_and_a_wrong_setting_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, kind in ((errno.EIO, DiskFailedError), (errno.EACCES, StateUnusableError)):

        def fail(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("appliance.ground.open_store", fail)
        with pytest.raises(StateUnusableError) as caught:
            lay_ground(make_config(tmp_path), print)
        assert type(caught.value) is kind
    assert issubclass(DiskFailedError, standin.DISK_FAULTS)


async def test_a_full_disk_is_stood_in_for_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    open_store(state).close()
    room = [0]
    monkeypatch.setattr("appliance.ground.free_bytes", lambda _: room[0])
    with pytest.raises(StoreFullError) as caught:
        lay_ground(make_config(state), print)
    open_store(state).close()  # The lock was let go.
    async with standing(make_config(state), caught.value) as at:
        assert "has room for 0 bytes" in at.said[0]
        room[0] = ROOM_BYTES_MIN
        await until_true(lambda: _has_said(at, "the disk is there"))


async def test_where_not_even_a_directory_can_be_made_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("appliance.ground.open_store", fail)
    with pytest.raises(StoreFullError):
        lay_ground(make_config(tmp_path), print)


async def test_status_asks_what_stands_in(state: Path) -> None:
    config = make_config(state, BOX_MOUNT_POINT=str(state))
    fault = DiskUnmountedError(state, state, "box.mount_point")
    async with standing(config, fault):
        places = [(LOOPBACK, 9), (LOOPBACK, config.web.ports[0])]
        told = await asyncio.to_thread(call_health, state, places)
        with pytest.raises(BoxNotRunningError):
            await asyncio.to_thread(call_health, state.with_name("other"), places)
    lines = list(format_status(told))
    assert lines[0].startswith("unhealthy: version ")
    assert lines[1].startswith("  BROKEN disk: nothing is mounted at")
    assert len(lines) == 3
