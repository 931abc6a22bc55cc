"""Blob URLs of every kind, given by a real box and fetched from by the clients that need them."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.habits import (
    BEFORE_0_3_1,
    BEFORE_0_3_10,
    BEFORE_0_5_8,
    BEFORE_0_35_2,
    NEWEST,
    Habits,
)
from tests.journeys.conftest import Scene, open_scene

pytestmark = pytest.mark.journey


def small(habits: Habits) -> Habits:
    return replace(habits, part_bytes_min=200_000, pace=20)


async def pull_twice(
    scene: Scene, client: Client, other: Client, name: str, *, insecure: bool = False
) -> None:
    """Both get the true bytes from the box, which fetched them once."""
    for each in (client, other):
        assert (await asyncio.to_thread(each.pull, name, insecure=insecure)).sha256_ok
    assert scene.upstream_bytes == scene.model.blob_bytes
    stats = await scene.stats_once_served(2 * scene.model.blob_bytes)
    assert stats["deferred"] == 0


@pytest.mark.parametrize("habits", [BEFORE_0_5_8, BEFORE_0_35_2], ids=["0.5.7", "0.35.1"])
async def test_with_delivery_tls_the_registry_s_own_name_serves_blobs(
    home: Path, habits: Habits
) -> None:
    async with open_scene(home, settings={"BLOBS_DELIVERY": "tls"}) as scene:
        one, other = (scene.stage.client(name, small(habits)) for name in ("one", "other"))
        await pull_twice(scene, one, other, "tiny:1b")


@pytest.mark.parametrize(
    "habits", [BEFORE_0_3_1, BEFORE_0_3_10, BEFORE_0_5_8, NEWEST], ids=lambda each: each.version
)
async def test_every_generation_pulls_by_the_bare_address(home: Path, habits: Habits) -> None:
    async with open_scene(home) as scene:
        host = scene.stage.box.web_url.removeprefix("http://")
        one, other = (scene.stage.client(name, small(habits)) for name in ("one", "other"))
        await pull_twice(scene, one, other, f"{host}/library/tiny:1b", insecure=True)


async def test_through_the_proxy_the_newest_fetch_from_the_blob_host(home: Path) -> None:
    async with open_scene(home, settings={"BLOBS_FALLBACK": "refuse"}) as scene:
        box = scene.stage.box
        outside = scene.stage.outside
        around = replace(
            box.surroundings,
            dns=(outside.names.address, outside.names.port),  # Where nobody knows the box.
            https_proxy=("127.0.0.1", box.proxy_port),
        )
        one, other = (Client(home / name, around, small(NEWEST)) for name in ("one", "other"))
        await pull_twice(scene, one, other, "tiny:1b")
