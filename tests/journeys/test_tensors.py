"""Models of tensors, of which the box has some: what it fetches slowly must not look like a fault.

Ollama drops a body that is much slower than those that it has finished, a few times, and then gives
the pull up. What a hit at the speed of the LAN makes of a miss on a thin line is therefore ours to
bear in mind.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.habits import BEFORE_0_32_2, NEWEST, Habits
from appliance.demo.models import TENSOR_TYPE, DemoModel, assemble, blocks, write_blob
from appliance.protocol.reference import parse_model_name
from tests.journeys.conftest import open_scene

pytestmark = pytest.mark.journey

HELD_COUNT, MISSING_COUNT = 24, 16
HELD_BYTES, MISSING_BYTES = 40_000, 300_000
LINE_BYTES_PER_SECOND = 400_000  # The missing ones take twelve seconds: 240 of a real client.


def tensors(directory: Path, name: str, *, with_missing: bool) -> DemoModel:
    layers = [
        write_blob(directory, TENSOR_TYPE, blocks(f"held {number}", HELD_BYTES))
        for number in range(HELD_COUNT)
    ]
    if with_missing:
        layers += [
            write_blob(directory, TENSOR_TYPE, blocks(f"missing {number}", MISSING_BYTES))
            for number in range(MISSING_COUNT)
        ]
    return assemble(parse_model_name(name).repository, ["latest"], layers, None)


@pytest.mark.parametrize(
    "habits",
    [
        pytest.param(BEFORE_0_32_2, id="0.32.1, 64 at once"),
        pytest.param(NEWEST, id="newest", marks=pytest.mark.slow),
    ],
)
async def test_hits_beside_slow_misses_do_not_end_a_pull(tmp_path: Path, habits: Habits) -> None:
    habits = replace(habits, pace=20)
    async with open_scene(tmp_path, total_bytes_per_second=LINE_BYTES_PER_SECOND) as scene:
        some = await asyncio.to_thread(tensors, tmp_path, "some", with_missing=False)
        more = await asyncio.to_thread(tensors, tmp_path, "more", with_missing=True)
        for each in (some, more):
            scene.stage.outside.publish(each)
        first = scene.stage.client("first", habits)
        assert (await asyncio.to_thread(first.pull, "some", insecure=True)).sha256_ok
        second = scene.stage.client("second", habits)
        assert (await asyncio.to_thread(second.pull, "more", insecure=True)).sha256_ok
        assert scene.upstream_bytes == more.blob_bytes
