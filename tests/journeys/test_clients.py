"""Every generation of Ollama by every way, and docs/CLIENTS.md, which says what comes of it."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.box import BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import NEWEST
from appliance.demo.names import NameUnknownError, resolve
from appliance.demo.outside import CDN_NAME
from tests.journeys.client_table import (
    CDN_ADDRESS,
    DOCUMENT,
    GENERATIONS,
    LOOPBACK,
    Outcome,
    Way,
    format_table,
    play_way,
    read_table,
)
from tests.journeys.conftest import WEIGHTS_BYTES, Scene, open_scene

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

NEWEST_HABITS = replace(NEWEST, part_bytes_min=200_000)


@pytest.mark.parametrize("way", Way)
async def test_every_generation_pulls_cold_and_warm_as_the_document_says(
    home: Path, way: Way
) -> None:
    written = read_table(DOCUMENT.read_text("utf-8"))[way]
    assert await play_way(way, home) == written
    lines = (home / "box.log").read_text("utf-8").splitlines()
    assert [each for each in lines if " info " not in each] == []  # Nothing of it is trouble.


def test_the_document_has_a_row_for_each_generation_and_a_column_for_each_way() -> None:
    document = DOCUMENT.read_text("utf-8")
    columns = read_table(document)
    assert list(columns) == list(Way)
    assert format_table(columns) in document
    assert {label for column in columns.values() for label in column} == {
        each.label for each in GENERATIONS
    }


def test_what_is_not_cached_has_its_reason_in_the_document() -> None:
    document = DOCUMENT.read_text("utf-8")
    _, _, reasons = document.partition("Why a cell is not cached:")
    given = re.findall(r"^- ([^:]+): ", reasons.partition("\n## ")[0], re.MULTILINE)
    uncached = [
        f"{label}, {way}"
        for way, column in read_table(document).items()
        for label, outcome in column.items()
        if outcome is Outcome.UNCACHED
    ]
    assert sorted(given) == sorted(uncached)


@pytest.mark.parametrize(
    "addresses", ["2001:db8::10", "203.0.113.10,2001:db8::10"], ids=["v6 alone", "both"]
)
async def test_the_newest_pull_from_a_blob_host_by_ipv6(home: Path, addresses: str) -> None:
    settings = {"BLOBS_ADDRESS": addresses, "BLOBS_PUBLISHED": "true", "BOX_LISTEN": ""}
    async with open_scene(home, settings=settings) as scene:
        await named(scene.stage.box, "ollama-blobs.home.arpa")
        for name in ("cold", "warm"):
            client = newest_client(scene, name, addresses.split(","))
            assert (await asyncio.to_thread(client.pull, "tiny:1b")).sha256_ok
            assert scene.upstream_bytes == scene.model.blob_bytes
        stats = await scene.stats_once_served(2 * scene.model.blob_bytes)
        assert stats["deferred"] == 0


async def named(box: BoxProcess, name: str) -> list[str]:
    """The addresses of a name of the box's own, once it answers for it.

    Where the registry's true address is the box's, as here, nobody can tell when DNS leads to it.
    """
    while True:
        try:
            return await asyncio.to_thread(resolve, box.surroundings.dns, name)
        except NameUnknownError:
            await asyncio.sleep(0.01)


def newest_client(scene: Scene, name: str, addresses: list[str]) -> Client:
    around = replace(scene.stage.box.surroundings, routes=dict.fromkeys(addresses, LOOPBACK))
    return Client(scene.stage.directory / name, around, NEWEST_HABITS)


async def test_without_blob_host_and_origin_the_newest_read_at_once_what_to_do(home: Path) -> None:
    """The manifest is held and so are the blobs: in the clear they come, and over https none."""
    async with open_scene(home, settings={"CACHE_FRESH_SECONDS": "0"}) as scene:
        await scene.pull("early")
        await scene.stage.outside.registry.go_down()
        await scene.stage.outside.cdn.go_down()
        client = newest_client(scene, "newest", [])
        with pytest.raises(PullError, match=r"^pull model manifest: 503: .*--insecure"):
            await asyncio.to_thread(client.pull, "tiny:1b")
        assert (await asyncio.to_thread(client.pull, "tiny:1b", insecure=True)).sha256_ok


async def test_refusing_to_pass_the_newest_on_is_said_at_the_manifest(home: Path) -> None:
    async with open_scene(home, settings={"BLOBS_FALLBACK": "refuse"}) as scene:
        scene.stage.outside.names.zone[CDN_NAME] = (CDN_ADDRESS,)
        with pytest.raises(PullError, match=r"^pull model manifest: 503: .*--insecure"):
            await asyncio.to_thread(newest_client(scene, "newest", []).pull, "tiny:1b")
        assert scene.upstream_bytes < WEIGHTS_BYTES
