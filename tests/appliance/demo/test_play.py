"""The play: cold clients share one download, a warm one needs none."""

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import Habits
from appliance.demo.models import write_model
from appliance.demo.outside import Outside
from appliance.demo.play import (
    MODEL_NAME,
    Audience,
    DiskShortError,
    Plan,
    check_disk,
    play,
    pull_at_once,
)


@pytest.mark.journey
async def test_cold_once_and_warm_for_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    here: dict[str, int] = {}
    audience = Audience(said.append, lambda name, size, total: here.update({name: size}))
    plan = Plan(size_bytes=3_000_000, clients=3, bytes_per_second=None, has_direct=True)
    report = await play(tmp_path, plan, time.time, audience)
    assert report.failures() == []
    assert report.cold.clients == 3
    assert report.cold.first_seconds <= report.cold.seconds
    assert report.direct is not None
    assert report.cold.upstream_bytes == report.blob_bytes
    assert report.blob_bytes >= 3_000_000
    assert here == dict.fromkeys(
        ("client-direct", "client-1", "client-2", "client-3", "client-warm"), report.blob_bytes
    )
    assert said[-1].startswith("warm")
    left = await asyncio.to_thread(os.listdir, tmp_path)
    assert not [each for each in left if each.startswith("client-")]


@pytest.mark.journey
async def test_clients_that_keep_nothing_get_the_very_model(tmp_path: Path) -> None:
    plan = Plan(
        size_bytes=3_000_000,
        clients=2,
        bytes_per_second=None,
        connection_bytes_per_second=20_000_000,
        keeps=False,
    )
    report = await play(tmp_path, plan, time.time, NOBODY)
    assert report.failures() == []
    assert not report.keeps


def test_clients_that_keep_nothing_need_no_disk(tmp_path: Path) -> None:
    size_bytes = shutil.disk_usage(tmp_path).free // 10
    check_disk(tmp_path, Plan(size_bytes, 30, None, keeps=False))
    with pytest.raises(DiskShortError):
        check_disk(tmp_path, Plan(size_bytes, 30, None))


def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DiskShortError, match=r"the demo needs .* TiB in .* are free"):
        check_disk(tmp_path, Plan(2**50, 2, None))


@pytest.fixture
async def demo_outside(outside: Outside, tmp_path: Path) -> Outside:
    outside.publish(await asyncio.to_thread(write_model, tmp_path / "origin", MODEL_NAME, [99]))
    return outside


def two_clients(outside: Outside, tmp_path: Path) -> dict[str, Client]:
    return {name: Client(tmp_path / name, outside.surroundings, IMPATIENT) for name in ("a", "b")}


IMPATIENT = Habits(pace=1000)
NOBODY = Audience(lambda line: None, lambda name, here, total: None)


async def test_clients_with_wrong_bytes_have_no_result(
    demo_outside: Outside, tmp_path: Path
) -> None:
    demo_outside.faults.flipped |= demo_outside.shelf.blobs.keys()
    said: list[str] = []
    audience = Audience(said.append, NOBODY.advance)
    done: list[str] = []
    clients = two_clients(demo_outside, tmp_path)
    assert await pull_at_once(clients, 99, audience, done.append) == [None, None]
    assert sorted(done) == ["a", "b"]
    assert sorted(each[:20] for each in said) == ["a: digest mismatch, ", "b: digest mismatch, "]


async def test_one_failure_ends_all(demo_outside: Outside, tmp_path: Path) -> None:
    demo_outside.faults.cdn_status = 503
    done: list[str] = []
    with pytest.raises(PullError, match="max retries exceeded"):
        await pull_at_once(two_clients(demo_outside, tmp_path), 99, NOBODY, done.append)
    assert done == []
