"""`prefetch`, typed beside a real box with a scripted Internet: fetched once, for everybody."""

import json
import sys
from pathlib import Path

import pytest

from tests.journeys.conftest import Outcome, Scene, open_scene, run

pytestmark = pytest.mark.journey


async def typed(scene: Scene, *words: str) -> Outcome:
    state = f"OLLAMA_APPLIANCE_BOX_STATE_DIR={scene.stage.box.state_directory}"
    return await run("env", state, sys.executable, "-m", "appliance", *words)


async def test_what_is_prefetched_costs_the_internet_nothing_more(home: Path) -> None:
    async with open_scene(home) as scene:
        done = await typed(scene, "prefetch", "tiny:1b", "--json")
        assert done.code == 0, done.err
        lines = [json.loads(each) for each in done.out.splitlines()]
        assert lines[-1] == {"model": "tiny:1b", "status": "success"}
        digest = str(scene.weights.digest)
        reached = [
            each["completed"]
            for each in lines
            if each.get("digest") == digest and "completed" in each
        ]
        assert reached == sorted(reached)
        assert reached[-1] == scene.weights.size_bytes
        fetched_bytes = scene.upstream_bytes
        await scene.pull("later", insecure=True)
        assert scene.upstream_bytes == fetched_bytes

        shown = await typed(scene, "stats", "--json")
        assert json.loads(shown.out)["fetched_bytes"] == fetched_bytes
        absent = await typed(scene, "prefetch", "nothing-of-this-name")
        assert absent.code == 1
        assert "file does not exist" in absent.err
