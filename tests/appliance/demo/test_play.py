"""The play: cold clients share one download, a warm one needs none."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from appliance.demo.play import Audience, DiskShortError, Plan, check_disk, play


@pytest.mark.journey
async def test_cold_once_and_warm_for_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    here: dict[str, int] = {}
    audience = Audience(said.append, lambda name, size, total: here.update({name: size}))
    plan = Plan(size_bytes=3_000_000, clients=3, bytes_per_second=None)
    report = await play(tmp_path, plan, time.time, audience)
    assert report.failures() == []
    assert report.cold.clients == 3
    assert report.blob_bytes >= 3_000_000
    assert here == dict.fromkeys(
        ("client-1", "client-2", "client-3", "client-warm"), report.blob_bytes
    )
    assert said[-1].startswith("warm")
    left = await asyncio.to_thread(os.listdir, tmp_path)
    assert not [each for each in left if each.startswith("client-")]


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskShortError, match=r"the demo needs .* TiB in .* are free"):
        check_disk(tmp_path, Plan(2**50, 2, None))
