"""Announcing as a client's kernel sees it: one route and nothing else, gone when it is over."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from appliance.announce.announcer import (
    VALID_SECONDS,
    AddressGoneError,
    Announcer,
    OtherRouterError,
    Pace,
    describe,
)
from appliance.announce.link import ALL_NODES, ALL_ROUTERS, Heard, Link, open_socket
from appliance.announce.standing import why_silent
from appliance.announce.wire import format_advertisement, format_solicitation, parse_advertisement
from appliance.policy.addresses import Addresses
from appliance.policy.blob_addresses import choose_announced
from tests.appliance.announce.test_wire import RADVD
from tests.namespaces import Machine, cable

ADDRESS = "64:ff9b:1:5::10"
HOUSE = Path(__file__).parents[3]
SOON = 15.0
QUICK = Pace(
    solicitation_interval=0.05, initial_interval=30.0, interval_min=30.0, interval_max=30.0,
    gap=0.05, delay_max=0.01,
)  # fmt: skip


@dataclass
class Bench:
    """An announcer in one kernel, a client that accepts advertisements in another."""

    box: Machine
    client: Machine
    announcer: Announcer
    theirs: Link
    is_held: bool = True
    said: list[str] = field(default_factory=list)
    is_speaking: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, silent_because: str) -> None:
        self.said.append(silent_because)
        if not silent_because:
            self.is_speaking.set()

    def routes(self) -> set[str]:
        """What the client's kernel knows beside its own link."""
        shown = self.client.type("ip", "-6", "route", "show").splitlines()
        return {line.split(" proto")[0] for line in shown if not line.startswith("fe80::/64")}

    def addresses(self) -> list[str]:
        shown = self.client.type("ip", "-6", "-o", "address", "show", "dev", "wire0")
        return [line.split()[3] for line in shown.splitlines()]

    async def heard(self) -> Heard:
        """The announcer's next word; questions are none."""
        while True:
            found = await self.theirs.wait(SOON)
            assert found is not None, "nothing was said"
            if isinstance(found, Heard):
                return found


@asynccontextmanager
async def bench(pace: Pace = QUICK) -> AsyncIterator[Bench]:
    with cable() as (box, client):
        client.set("accept_ra", "1")
        ours, theirs = (Link(each.inside(lambda: open_socket("wire0"))) for each in (box, client))
        announcer = Announcer(
            ours, ADDRESS, is_held=lambda: made.is_held, interface="wire0", pace=pace
        )
        made = Bench(box, client, announcer, theirs)
        try:
            yield made
        finally:
            ours.close()
            theirs.close()


async def become(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not fact():
        assert time.monotonic() < until, "it did not come to be"
        await asyncio.sleep(0.01)


async def test_a_client_gets_one_route_and_nothing_else_and_loses_it_at_the_end() -> None:
    async with bench() as table:
        before = table.addresses()
        async with asyncio.TaskGroup() as group:
            group.create_task(table.announcer.run(table.say))
            await become(lambda: bool(table.routes()))
            assert table.routes() == {f"{ADDRESS} dev wire0"}
            assert table.addresses() == before
            assert table.said[-1] == ""
            table.announcer.stop()
        assert table.routes() == set()
        assert table.addresses() == before


async def test_it_says_three_times_that_it_is_over() -> None:
    async with bench() as table:
        async with asyncio.TaskGroup() as group:
            group.create_task(table.announcer.run(table.say))
            await table.is_speaking.wait()
            table.announcer.stop()
        valid = [(await table.heard()).advertisement.prefixes[0].valid_seconds for _ in range(4)]
        assert valid == [VALID_SECONDS, 0, 0, 0]
        assert await table.theirs.wait(0.0) is None


async def test_who_asks_is_answered_soon_and_not_too_often() -> None:
    async with bench(replace(QUICK, gap=1.0)) as table, asyncio.TaskGroup() as group:
        group.create_task(table.announcer.run(table.say))
        await table.heard()
        first = time.monotonic()
        for _ in range(20):
            table.theirs.send(format_solicitation(), ALL_ROUTERS)
        await table.heard()
        assert time.monotonic() - first >= 0.5
        assert await table.theirs.wait(0.0) is None
        table.announcer.stop()


async def test_beside_a_router_it_says_nothing_at_all() -> None:
    async with bench(replace(QUICK, solicitation_interval=SOON)) as table:
        table.theirs.send(RADVD, ALL_NODES)
        with pytest.raises(
            OtherRouterError, match=r"fe80.*a default route, 2001:db8::/64"
        ) as found:
            await table.announcer.run(table.say)
        assert "blobs.announce = false" in found.value.hint
        assert table.said == ["listening first, for whoever else advertises here"]
        while (word := await table.theirs.wait(0.0)) is not None:
            assert not isinstance(word, Heard)


async def test_a_router_that_appears_later_ends_it() -> None:
    async with bench() as table:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ended(table.announcer.run(table.say)))
            await table.is_speaking.wait()
            await become(lambda: bool(table.routes()))
            table.theirs.send(format_advertisement("2001:db8::1", 60), ALL_NODES)
        assert isinstance(running.result(), OtherRouterError)
        assert f"{ADDRESS} dev wire0" not in table.routes()


async def test_one_that_offers_nothing_is_no_rival() -> None:
    async with bench() as table, asyncio.TaskGroup() as group:
        group.create_task(table.announcer.run(table.say))
        table.theirs.send(format_advertisement(ADDRESS, 60)[:16], ALL_NODES)
        await table.is_speaking.wait()
        table.announcer.stop()


async def test_an_address_that_is_not_there_is_not_announced() -> None:
    async with bench() as table:
        table.is_held = False
        with pytest.raises(AddressGoneError) as caught:
            await table.announcer.run(table.say)
        assert caught.value.hint == f"type: ip -6 address add {ADDRESS}/128 dev wire0"
        assert table.routes() == set()


async def test_an_address_that_goes_is_taken_back() -> None:
    async with bench(replace(QUICK, interval_min=0.05, interval_max=0.1)) as table:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(ended(table.announcer.run(table.say)))
            await table.is_speaking.wait()
            table.is_held = False
        assert isinstance(running.result(), AddressGoneError)
        assert table.routes() == set()


async def test_stopped_while_it_listens_it_has_said_nothing() -> None:
    async with bench(replace(QUICK, solicitation_interval=SOON)) as table:
        async with asyncio.TaskGroup() as group:
            group.create_task(table.announcer.run(table.say))
            await become(lambda: bool(table.said))
            table.announcer.stop()
        assert table.routes() == set()


async def ended(work: object) -> BaseException | None:
    """What it raised."""
    assert asyncio.iscoroutine(work)
    try:
        await work
    except Exception as error:  # noqa: BLE001  # That is what is asked for.
        return error
    return None


def test_what_is_offered_is_described() -> None:
    router = parse_advertisement(RADVD)
    assert router is not None
    assert describe(router) == "a default route, 2001:db8::/64"


async def service(box: Machine, state: Path, **more: str) -> asyncio.subprocess.Process:
    keys = {"BOX_STATE_DIR": str(state), "BLOBS_ANNOUNCE": "true"} | more
    environ = os.environ | {f"OLLAMA_APPLIANCE_{key}": value for key, value in keys.items()}
    command = box.command(sys.executable, "-m", "appliance.announce", "--config", os.devnull)
    return await asyncio.create_subprocess_exec(
        *command,
        env=environ,
        cwd=HOUSE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def test_the_service_says_what_is_missing(tmp_path: Path) -> None:
    with cable() as (box, _):
        unasked = await service(box, tmp_path, BLOBS_ANNOUNCE="false")
        assert "set blobs.announce = true" in (await unasked.communicate())[0].decode()
        unstarted = await service(box, tmp_path)
        assert "start the box once" in (await unstarted.communicate())[0].decode()
        (tmp_path / "secret").write_bytes(b"s" * 32)
        homeless = await service(box, tmp_path)
        address = choose_announced(Addresses(), b"s" * 32)
        assert f"ip -6 address add {address}/128" in (await homeless.communicate())[0].decode()
        assert homeless.returncode == 1
        assert "does not have" in why_silent(tmp_path, address)


async def test_the_service_refuses_beside_a_router_and_the_box_sees_why(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    with cable() as (box, client):
        box.type("ip", "-6", "address", "add", f"{ADDRESS}/128", "dev", box.interface)
        router = Link(client.inside(lambda: open_socket("wire0")))
        running = await service(box, tmp_path, BLOBS_ADDRESS=ADDRESS)
        try:
            assert running.stdout is not None
            assert b"listening first" in await running.stdout.readline()
            assert why_silent(tmp_path, ADDRESS).startswith("listening first")
            router.send(RADVD, ALL_NODES)
            said = (await running.stdout.read()).decode()
        finally:
            router.close()
        assert "another router advertises here: fe80" in said
        assert await running.wait() == 1
    assert "another router advertises here" in why_silent(tmp_path, ADDRESS)


async def test_the_service_ends_in_order(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s" * 32)
    with cable() as (box, _):
        box.type("ip", "-6", "address", "add", f"{ADDRESS}/128", "dev", box.interface)
        running = await service(box, tmp_path, BLOBS_ADDRESS=ADDRESS)
        assert running.stdout is not None
        await running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
    assert "it was stopped" in why_silent(tmp_path, ADDRESS)
