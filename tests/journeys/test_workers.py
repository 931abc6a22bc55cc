"""Pulls through a worker alone, as through the box: cold, warm, passed through, cut and gone on."""

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.demo.client import Client
from appliance.demo.habits import BEFORE_0_35_2, Habits
from tests.journeys.conftest import HABITS, Scene, open_scene, run, until
from tests.programs import program

pytestmark = pytest.mark.journey


async def workers_of(scene: Scene) -> list[dict[str, Any]]:
    """The box's workers, as its status tells."""
    box = scene.stage.box
    variable = f"OLLAMA_APPLIANCE_BOX_STATE_DIR={box.state_directory}"
    told = await run("env", variable, sys.executable, "-m", "appliance", "status", "--json")
    return list(json.loads(told.out)["workers"])


async def client_of(scene: Scene, name: str, habits: Habits, port: int) -> Client:
    """A client for which port 443 is a worker's own."""
    known = scene.stage.box.surroundings
    surroundings = replace(known, ports={**known.ports, 443: port})
    return Client(scene.stage.directory / name, surroundings, habits)


async def pull(client: Client) -> None:
    assert (await asyncio.to_thread(client.pull, "tiny:1b")).sha256_ok


def small(habits: Habits) -> Habits:
    return replace(habits, part_bytes_min=200_000, pace=20)


async def test_a_model_is_fetched_once_for_the_box_and_all_its_workers(home: Path) -> None:
    async with open_scene(home, settings={"BOX_WORKERS": "2"}) as scene:
        ports = [each["port"] for each in await workers_of(scene)]
        clients = [
            await client_of(scene, f"client{number}", HABITS, port)
            for number, port in enumerate((*ports, scene.stage.box.tls_port))
        ]
        await asyncio.gather(*(pull(each) for each in clients))
        assert scene.upstream_bytes == scene.model.blob_bytes
        stats = await scene.stats_once_served(3 * scene.model.blob_bytes)
        assert stats["served_bytes"] == 3 * scene.model.blob_bytes


async def test_blobs_leave_over_tls_by_a_worker_while_they_arrive(home: Path) -> None:
    settings = {"BOX_WORKERS": "1", "BLOBS_DELIVERY": "tls"}
    async with open_scene(home, settings=settings) as scene:
        (worker,) = await workers_of(scene)
        habits = small(BEFORE_0_35_2)
        one, other = [
            await client_of(scene, name, habits, worker["port"]) for name in ("one", "other")
        ]
        await asyncio.gather(pull(one), pull(other))
        await pull(one)
        assert scene.upstream_bytes == scene.model.blob_bytes
        await scene.stats_once_served(2 * scene.model.blob_bytes)


async def test_the_newest_client_is_passed_on_to_the_origin_by_a_worker(home: Path) -> None:
    async with open_scene(home, settings={"BOX_WORKERS": "1"}) as scene:
        (worker,) = await workers_of(scene)
        await pull(await client_of(scene, "older", HABITS, worker["port"]))
        base = f"https://registry.ollama.ai:{worker['port']}/v2/library/tiny"
        location = await run(
            *(program("curl"), "-sS", "--cacert", scene.stage.box.ca_file),
            *("--resolve", f"registry.ollama.ai:{worker['port']}:127.0.0.1"),
            *("--user-agent", "ollama/9.0.0 (amd64 linux) Go/go1.26"),
            *("--output", os.devnull, "--write-out", "%{http_code} %{redirect_url}"),
            f"{base}/blobs/{scene.weights.digest}",
        )
        assert location.out.startswith(b"307 https://blobs.cdn.test"), location
        assert (await scene.ask("/cache/stats"))["deferred"] == 1


async def test_when_the_box_is_killed_its_workers_end(home: Path) -> None:
    async with open_scene(home, settings={"BOX_WORKERS": "2"}) as scene:
        pids = [each["pid"] for each in await workers_of(scene)]
        os.kill(scene.stage.box.pid, 9)
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
        await scene.stage.box.wait()
        await scene.stage.box._start()  # So that it stops as a box should.
