"""Whole pulls through a real box: emulated clients, real DNS, TLS and TCP, a scripted Internet."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.box import BoxFailedError, BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import BEFORE_0_5_8, NEWEST, Habits
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import write_model
from appliance.demo.outside import CDN_NAME, Outside
from appliance.upstream.dialling import READ_BUFFER_BYTES
from tests.journeys.conftest import HABITS, WEIGHTS_BYTES, Scene, open_scene, until

pytestmark = pytest.mark.journey


async def test_two_cold_clients_and_a_warm_one_cross_the_internet_once(home: Path) -> None:
    async with open_scene(home) as scene:
        await asyncio.gather(scene.pull("one"), scene.pull("two"))
        assert scene.upstream_bytes == scene.model.blob_bytes
        copy = await scene.pull("three")
        assert copy.read_bytes() == scene.weights.path.read_bytes()
        assert scene.upstream_bytes == scene.model.blob_bytes
        (model,) = await scene.ask("/api/models")
        assert (model["name"], model["tag"], model["complete"]) == ("tiny", "1b", True)
        assert model["digest"] == str(scene.model.digest)
        assert model["pulls"] == 3
        stats = await scene.stats_once_served(3 * scene.model.blob_bytes)
        assert stats["fetched_bytes"] == scene.model.blob_bytes
        assert stats["served_bytes"] == 3 * scene.model.blob_bytes
        assert stats["saved_bytes"] == 2 * scene.model.blob_bytes


@pytest.mark.parametrize(
    "habits",
    [
        pytest.param(HABITS, id="0.33"),
        pytest.param(replace(BEFORE_0_5_8, part_bytes_min=200_000, pace=20), id="0.5.7"),
        pytest.param(replace(NEWEST, part_bytes_min=200_000, pace=20), id="newest"),
    ],
)
async def test_every_generation_pulls_in_the_clear_without_a_certificate(
    home: Path, habits: Habits
) -> None:
    async with open_scene(home) as scene:
        await scene.pull("visitor", insecure=True, habits=habits)
        await scene.pull("other", insecure=True, habits=habits)
        assert scene.upstream_bytes == scene.model.blob_bytes


async def test_a_client_that_refuses_private_addresses_pulls_uncached(home: Path) -> None:
    """What it refuses is never offered: the origin's own redirect is, and the box counts it."""
    public = "203.0.113.5"
    async with open_scene(home) as scene:
        outside = scene.stage.outside
        outside.names.zone[CDN_NAME] = (public,)
        routes = {public: outside.cdn.address}
        surroundings = replace(scene.stage.box.surroundings, routes=routes)
        surroundings = replace(surroundings, ca_file=join(home, scene))
        newest = replace(NEWEST, part_bytes_min=200_000, pace=20)
        client = Client(home / "newest", surroundings, newest)
        assert (await asyncio.to_thread(client.pull, "tiny:1b")).sha256_ok
        assert (await scene.ask("/cache/stats"))["deferred"] == len(scene.model.blobs)
        assert (await scene.ask("/cache/stats"))["served_bytes"] == 0


def join(home: Path, scene: Scene) -> Path:
    """A file of all that a client trusts: the box's CA, and the Internet's."""
    joined = home / "trusted.pem"
    joined.write_bytes(
        scene.stage.box.ca_file.read_bytes() + scene.stage.outside.ca_file.read_bytes()
    )
    return joined


async def test_a_pull_goes_on_at_its_watermark_when_the_origin_breaks_off(home: Path) -> None:
    async with open_scene(home) as scene:
        faults = scene.stage.outside.faults
        faults.body = BodyFault(Break.TRUNCATE, after_bytes=1_000_000, times=1)
        await scene.pull("client")
        assert (await scene.ask("/cache/stats"))["fetched_bytes"] == scene.model.blob_bytes
        # What aiohttp had buffered when the body broke off is lost with it.
        assert scene.upstream_bytes <= scene.model.blob_bytes + 2 * READ_BUFFER_BYTES


async def test_an_expired_presigned_url_is_asked_for_again(home: Path) -> None:
    async with open_scene(home) as scene:
        faults = scene.stage.outside.faults
        fault = faults.body = BodyFault(Break.RESET, after_bytes=500_000, times=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(scene.pull("client"))
            await until(lambda: fault.times == 0)
            scene.stage.outside.presigner.expire_now()
        asked = scene.stage.outside.ledger.count("GET", f"/blobs/{scene.weights.digest}")
        assert asked >= 2


async def test_with_the_origin_down_a_warm_pull_works_and_says_stale(home: Path) -> None:
    async with open_scene(home, settings={"CACHE_FRESH_SECONDS": "0"}) as scene:
        await scene.pull("early")
        await scene.stage.outside.registry.go_down()
        await scene.stage.outside.cdn.go_down()
        await scene.pull("late")
        assert (await scene.ask("/cache/stats"))["manifest_stale"] >= 1
        assert (await scene.ask("/health"))["checks"]["upstream"]["ok"] is False


async def test_with_the_origin_down_a_cold_pull_fails_and_says_why(home: Path) -> None:
    async with open_scene(home) as scene:
        await scene.stage.outside.registry.go_down()
        with pytest.raises(PullError, match=r"pull model manifest: 503: .*cannot connect"):
            await scene.pull("client")


async def test_a_captive_portal_stores_nothing_and_takes_nothing_away(home: Path) -> None:
    async with open_scene(home, settings={"CACHE_FRESH_SECONDS": "0"}) as scene:
        scene.stage.outside.faults.is_portal = True
        with pytest.raises(PullError, match=r"502: .*no manifest"):
            await scene.pull("unlucky")
        assert await scene.ask("/api/models") == []
        scene.stage.outside.faults.is_portal = False
        await scene.pull("lucky")
        scene.stage.outside.faults.is_portal = True
        await scene.pull("late")


async def test_wrong_bytes_are_never_published(home: Path) -> None:
    async with open_scene(home) as scene:
        scene.stage.outside.faults.flipped.add(scene.weights.digest)
        # The box may know it before the client has asked for its last part, and then refuses that.
        with pytest.raises(PullError, match=r"digest mismatch|max retries exceeded"):
            await scene.pull("unlucky")
        while (await scene.ask("/cache/stats"))["mismatches"] == 0:
            pass  # The last byte reaches the client before the box has hashed it.
        (model,) = await scene.ask("/api/models")
        assert model["complete"] is False


async def test_a_box_killed_in_the_middle_of_a_fill_goes_on_where_it_was(home: Path) -> None:
    async with Outside(home, time.time) as outside:
        model = await asyncio.to_thread(write_model, home, "tiny:1b", [WEIGHTS_BYTES])
        outside.publish(model)
        outside.faults.body = BodyFault(Break.STALL, after_bytes=1_500_000)
        with pytest.raises(BoxFailedError, match="status -9"):
            await kill_while_filling(home, outside, after_bytes=1_500_000)
        outside.faults.body = None
        async with BoxProcess(home, outside) as second:
            again = Client(home / "client", second.surroundings, HABITS)
            assert (await asyncio.to_thread(again.pull, "tiny:1b")).sha256_ok


async def kill_while_filling(home: Path, outside: Outside, after_bytes: int) -> None:
    """Run a box, let a client pull, and kill -9 the box and its DNS after so many bytes."""
    async with BoxProcess(home, outside) as box, asyncio.TaskGroup() as group:
        client = Client(home / "client", box.surroundings, HABITS)
        group.create_task(interrupted(client))
        await until(lambda: outside.ledger.upstream_bytes >= after_bytes)
        os.killpg(box.pid, signal.SIGKILL)
        client.interrupt()


async def interrupted(client: Client) -> None:
    """A pull that somebody ends before its time."""
    with pytest.raises(InterruptedPullError):
        await asyncio.to_thread(client.pull, "tiny:1b")


async def test_a_client_interrupted_resumes_from_what_it_has(home: Path) -> None:
    async with open_scene(home) as scene:
        client = scene.stage.client("client", HABITS)
        began = asyncio.Event()
        loop = asyncio.get_running_loop()

        def progress(_: object, here_bytes: int, total_bytes: int) -> None:
            if 0 < here_bytes < total_bytes:
                loop.call_soon_threadsafe(began.set)
                client.interrupt()

        with pytest.raises(InterruptedPullError):
            await asyncio.to_thread(client.pull, "tiny:1b", progress=progress)
        assert began.is_set() or scene.upstream_bytes
        pull = await asyncio.to_thread(client.pull, "tiny:1b")
        assert pull.sha256_ok
        assert scene.upstream_bytes == scene.model.blob_bytes


async def test_a_disk_too_full_for_a_model_passes_it_on_uncached(home: Path) -> None:
    async with open_scene(home, settings={"CACHE_MIN_FREE": "1000TiB"}) as scene:
        await scene.pull("client")
        stats = await scene.stats_once_served(scene.model.blob_bytes)
        assert stats["uncached"] >= len(scene.model.blobs)
        assert stats["served_bytes"] == stats["fetched_bytes"] == scene.model.blob_bytes
        assert stats["total_blob_size_bytes"] == 0
        health = await scene.ask("/health")
        assert health["status"] == "degraded"
        assert health["checks"]["disk"]["ok"] is False
