"""A real box that starts without its disk: every pull goes on, uncached, by every way."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.control import call_health
from appliance.demo.box import BoxProcess
from appliance.demo.outside import CDN_NAME, REGISTRY_NAME
from appliance.standin import STANDS_IN
from tests.fakes.wire import dial
from tests.journeys.client_table import (
    CDN_ADDRESS,
    GENERATIONS,
    Journey,
    Outcome,
    Way,
    open_way,
)

pytestmark = [pytest.mark.fault, pytest.mark.journey]

CONNECT = f"CONNECT {REGISTRY_NAME}:443 HTTP/1.1\r\nHost: {REGISTRY_NAME}:443\r\n\r\n".encode()
OLD, NEWEST, TENSORS = GENERATIONS[4], GENERATIONS[-1], GENERATIONS[-2]


@asynccontextmanager
async def without_disk(way: Way, home: Path) -> AsyncIterator[tuple[Journey, BoxProcess]]:
    """A box that was used, killed, and started again with its disk missing."""
    async with open_way(way, home) as journey:
        box = journey.stage.box
        journey.stage.outside.names.zone[CDN_NAME] = (CDN_ADDRESS,)
        await box.crash(with_dns=True)
        box.state_directory.rename(home / "disk")
        (box.state_directory / "ledger").mkdir(parents=True)
        await box.restart(until=STANDS_IN)
        yield journey, box
        assert [each.name for each in box.state_directory.rglob("*")] == ["ledger"]


@pytest.mark.parametrize("way", [Way.DNS, Way.PLAIN, Way.DIRECT])
async def test_every_pull_goes_past_it(way: Way, tmp_path: Path) -> None:
    async with without_disk(way, tmp_path) as (journey, box):
        for generation in (OLD, NEWEST, TENSORS):
            assert await journey.play(generation) is Outcome.UNCACHED, generation.label
        told = await asyncio.to_thread(
            call_health, box.state_directory, [("127.0.0.1", box.web_port)]
        )
        assert told["status"] == "unhealthy"
        assert not told["checks"]["disk"]["ok"]


async def test_by_the_proxy_port_the_registry_itself_answers(tmp_path: Path) -> None:
    async with without_disk(Way.PROXY, tmp_path) as (journey, box):
        trusted = ssl.create_default_context(cafile=str(journey.stage.outside.ca_file))
        async with dial(box.proxy_port) as wire:
            wire.send(CONNECT)
            assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            await wire.writer.start_tls(trusted, server_hostname=REGISTRY_NAME)
            answer = await wire.ask(f"GET /v2/a HTTP/1.1\r\nHost: {REGISTRY_NAME}\r\n\r\n".encode())
            assert answer.status == 404


async def test_with_its_disk_back_it_starts_by_itself_and_serves_what_it_held(
    tmp_path: Path,
) -> None:
    async with open_way(Way.PLAIN, tmp_path) as journey:
        assert await journey.play(OLD) is Outcome.CACHED
        box = journey.stage.box
        await box.crash(with_dns=True)
        box.state_directory.rename(tmp_path / "disk")
        (box.state_directory / "ledger").mkdir(parents=True)
        await box.restart(until=STANDS_IN)
        box.state_directory.rename(tmp_path / "below")
        (tmp_path / "disk").rename(box.state_directory)
        async with asyncio.timeout(30):
            while "ready" not in box.said:  # noqa: ASYNC110  # Another process says so.
                await asyncio.sleep(0.05)
        assert await journey.pull_again(OLD) == 0
