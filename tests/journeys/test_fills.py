"""Fills under hardship: killed boxes, failing origins, many readers, many blobs.

A real box each time. What was fetched is counted by the scripted Internet, never by the clock.
"""

import asyncio
import os
import signal
import time
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from appliance.cache.fill import SYNC_SECONDS
from appliance.demo.box import BoxFailedError, BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.faults import BodyFault, Break, Faults
from appliance.demo.habits import Habits
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import (
    LAYER_TYPE_PREFIX,
    DemoModel,
    assemble,
    blocks,
    write_blob,
    write_model,
)
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.site import Site
from appliance.demo.stage import Stage
from appliance.policy.fillplan import (
    SMALL_SIZE_BYTES,
    choose_run_size,
)
from appliance.protocol.digest import Digest
from appliance.protocol.reference import parse_model_name
from appliance.store.encodings import decode_pending
from appliance.store.layout import Layout
from tests.journeys.conftest import HABITS, Scene, open_scene, until

NAME = "wide:1b"
WIDE_BYTES = 40_000_000  # Fetched by many requests at once, and in sixteen parts by a client.
NOT_SMALL_BYTES = SMALL_SIZE_BYTES + 100_000  # As little as is fetched so.
# The box gives up a silent request after three seconds; these clients wait for six.
PATIENT = Habits(part_bytes_min=2_000_000, pace=5)

CONNECTIONS = 4
RATE = 5_000_000
RUN_BYTES_MAX = choose_run_size(RATE, 1, CONNECTIONS) * 3 // 2
IN_FLIGHT_BYTES = CONNECTIONS * RUN_BYTES_MAX  # One run per connection,
UNSYNCED_BYTES = int(RATE * SYNC_SECONDS)  # and the last five seconds.

pytestmark = pytest.mark.journey


async def publish(home: Path, outside: Outside, size_bytes: int) -> DemoModel:
    model = await asyncio.to_thread(write_model, home, NAME, [size_bytes])
    outside.publish(model)
    return model


# Killed.

NOTED = -1  # A life that lasts until what it holds is noted, and not a moment longer.
# How many bytes come in each life. What came since the last note is lost.
LIVES = (
    100_000,
    1_000_000,
    50_000,
    NOTED,
    2_000_000,
    400_000,
    800_000,
    20_000,
    3_000_000,
    1_500_000,
)


async def test_a_box_killed_ten_times_refetches_little_and_completes(home: Path) -> None:
    async with Outside(home, time.time, total_bytes_per_second=RATE) as outside:
        weights = (await publish(home, outside, WIDE_BYTES)).blobs[0]
        fetched = outside.ledger.blob_bytes
        for number, life_bytes in enumerate(LIVES):
            had, began = noted(home, weights.digest), fetched[weights.digest]
            await live_until_killed(home, outside, f"client {number}", weights.digest, life_bytes)
            gained = noted(home, weights.digest) - had
            lost = fetched[weights.digest] - began - gained
            assert gained > 0 or life_bytes != NOTED
            assert lost <= IN_FLIGHT_BYTES + (0 if life_bytes == NOTED else UNSYNCED_BYTES)
        outside.line.total_bytes_per_second = None
        async with BoxProcess(home, outside, SETTINGS) as box:
            for name in ("last", "warm"):
                client = Client(home / name, box.surroundings, PATIENT)
                assert (await asyncio.to_thread(client.pull, NAME)).sha256_ok
        lost_bytes_max = len(LIVES) * (IN_FLIGHT_BYTES + UNSYNCED_BYTES)
        assert fetched[weights.digest] <= WIDE_BYTES + lost_bytes_max


SETTINGS = {"ORIGIN_CONNECTIONS": str(CONNECTIONS)}


async def live_until_killed(
    home: Path, outside: Outside, name: str, digest: Digest, life_bytes: int
) -> None:
    """Run a box while a client pulls, and kill -9 it after so many bytes, or when it notes them."""
    had, began = noted(home, digest), outside.ledger.blob_bytes[digest]

    def is_enough() -> bool:
        if life_bytes == NOTED:
            return noted(home, digest) > had
        return outside.ledger.blob_bytes[digest] >= began + life_bytes

    try:
        async with BoxProcess(home, outside, SETTINGS) as box, asyncio.TaskGroup() as group:
            client = Client(home / name, box.surroundings, PATIENT)
            group.create_task(cut_short(client))
            await until(is_enough)
            os.killpg(box.pid, signal.SIGKILL)
            client.interrupt()
    except BoxFailedError as error:
        assert "status -9" in str(error)  # noqa: PT017  # The box says so when it is left.


async def cut_short(client: Client) -> None:
    with pytest.raises((InterruptedPullError, PullError)):
        await asyncio.to_thread(client.pull, NAME)


def noted(home: Path, digest: Digest) -> int:
    """How many bytes of a pending blob the next life will find."""
    file = Layout(home / "state").pending_note(digest)
    note = decode_pending(file.read_bytes()) if file.exists() else None
    return note.held.size_bytes if note else 0


# Failing origins.


@pytest.mark.parametrize("kind", Break)
async def test_bodies_that_break_are_fetched_on_from_where_they_broke(
    home: Path, kind: Break
) -> None:
    async with Stage(home, time.time) as stage:
        model = await publish(home, stage.outside, NOT_SMALL_BYTES)
        fault = stage.outside.faults.body = BodyFault(kind, 200_000, times=1)
        pull = await asyncio.to_thread(stage.client("client", PATIENT).pull, NAME)
        assert pull.sha256_ok
        assert fault.times == 0
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes


FAILURES = {
    "lies about the range": Faults(range_shift_bytes=1000),
    "too many requests": Faults(cdn_status=429, retry_after_seconds=1),
    "unavailable": Faults(cdn_status=503, retry_after_seconds=1),
    "a registry that has enough": Faults(blob_status=429),
}
FAILED_COUNT = 4


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_an_origin_that_fails_for_a_while_only_delays_a_pull(
    home: Path, failure: Faults
) -> None:
    async with Stage(home, time.time) as stage:
        model = await publish(home, stage.outside, NOT_SMALL_BYTES)
        outside, encoded = stage.outside, model.blobs[0].digest.encoded
        put(failure, outside.faults)
        async with asyncio.TaskGroup() as group:
            client = stage.client("client", PATIENT)
            pull = group.create_task(asyncio.to_thread(client.pull, NAME))
            await until(lambda: outside.ledger.count("GET", encoded) >= FAILED_COUNT)
            put(Faults(), outside.faults)
        assert pull.result().sha256_ok
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes


def put(failure: Faults, faults: Faults) -> None:
    """Have what runs fail as `failure` says."""
    for each in fields(Faults):
        setattr(faults, each.name, getattr(failure, each.name))


async def test_an_origin_that_always_lies_is_never_believed(home: Path) -> None:
    async with Stage(home, time.time) as stage:
        model = await publish(home, stage.outside, 1_000_000)
        outside, digest = stage.outside, model.blobs[0].digest
        outside.faults.range_shift_bytes = 1
        client = stage.client("client", PATIENT)
        async with asyncio.TaskGroup() as group:
            group.create_task(cut_short(client))
            await until(lambda: outside.ledger.count("GET", digest.encoded, CDN_NAME) >= 3)
            client.interrupt()
        file = client.blob_path(digest).with_name(f"sha256-{digest.encoded}-partial")
        assert not any(file.read_bytes())
        assert (await Scene(stage, model).ask("/cache/stats"))["fetched_bytes"] == 0
        put(
            Faults(), outside.faults
        )  # The fill goes on without its client, and would be waited for.


@pytest.mark.parametrize("status", [429, 503])
async def test_a_manifest_refused_ends_a_cold_pull_with_the_reason(home: Path, status: int) -> None:
    async with open_scene(home) as scene:
        scene.stage.outside.faults.manifest_status = status
        with pytest.raises(PullError, match=f"pull model manifest: .*{status}"):
            await scene.pull("client")
        scene.stage.outside.faults.manifest_status = None
        await scene.pull("client")


async def test_urls_that_expire_in_the_middle_are_asked_for_again(home: Path) -> None:
    async with Stage(home, time.time, total_bytes_per_second=15_000_000) as stage:
        model = await publish(home, stage.outside, NOT_SMALL_BYTES)
        outside, encoded = stage.outside, model.blobs[0].digest.encoded
        async with asyncio.TaskGroup() as group:
            client = stage.client("client", PATIENT)
            pull = group.create_task(asyncio.to_thread(client.pull, NAME))
            for share in (8, 4, 2):
                enough_bytes = NOT_SMALL_BYTES // share
                await until(partial(has_sent, outside, enough_bytes))
                outside.presigner.expire_now()
        assert pull.result().sha256_ok
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes
        asked = outside.ledger.count("GET", encoded, CDN_NAME)
        assert asked > outside.ledger.count("GET", encoded, outside.registry.name) >= 2


def has_sent(outside: Outside, size_bytes: int) -> bool:
    return outside.ledger.upstream_bytes >= size_bytes


async def test_an_origin_that_takes_one_connection_at_a_time_is_enough(home: Path) -> None:
    async with Stage(home, time.time, total_bytes_per_second=60_000_000) as stage:
        model = await publish(home, stage.outside, NOT_SMALL_BYTES)
        outside = stage.outside
        refusals = refuse_all_but_one(outside.cdn)
        pull = await asyncio.to_thread(stage.client("client", PATIENT).pull, NAME)
        assert pull.sha256_ok
        assert refusals
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes


def refuse_all_but_one(site: Site) -> list[str]:
    """Answer 503 while another request is being answered; returns whom, as it happens."""
    answer, refusals, answering = site.answer, list[str](), asyncio.Lock()

    async def answer_alone(request: web.BaseRequest) -> web.StreamResponse:
        if answering.locked():
            refusals.append(request.raw_path)
            return web.Response(status=503)
        async with answering:
            return await answer(request)

    site.answer = answer_alone
    return refusals


# Many readers, many blobs.


async def test_readers_all_over_a_blob_are_fed_from_the_start_and_it_comes_once(home: Path) -> None:
    async with Stage(home, time.time, total_bytes_per_second=8_000_000) as stage:
        model = await publish(home, stage.outside, WIDE_BYTES)
        outside, digest = stage.outside, model.blobs[0].digest
        first_fed: dict[str, int] = {}

        def pull(name: str, part_bytes: int) -> bool:
            """Pull, and note how much had come when the last part's first bytes were there."""
            client = stage.client(name, replace(PATIENT, part_bytes_min=part_bytes))
            file = client.blob_path(digest).with_name(f"sha256-{digest.encoded}-partial")
            last_part = (WIDE_BYTES - 1) // part_bytes * part_bytes

            def progress(of: Digest, here_bytes: int, total_bytes: int) -> None:
                if of == digest and name not in first_fed and is_written(file, last_part):
                    first_fed[name] = outside.ledger.upstream_bytes

            return client.pull(NAME, progress=progress).sha256_ok

        pulls = [("sixteen", 2_500_000), ("eleven", 3_900_000), ("seven", 6_100_000)]
        assert all(await asyncio.gather(*(asyncio.to_thread(pull, *each) for each in pulls)))
        assert outside.ledger.upstream_bytes <= 1.01 * model.blob_bytes
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes
        assert set(first_fed) == {name for name, _ in pulls}
        assert max(first_fed.values()) < WIDE_BYTES / 2


@pytest.mark.parametrize("each", [False, True], ids=["in total", "each connection"])
@pytest.mark.parametrize("rate", [12_500_000, 125_000_000])
async def test_a_crowd_that_cuts_a_blob_in_all_ways_fetches_it_once(
    home: Path, rate: int, *, each: bool
) -> None:
    total, connection = (None, rate // 16) if each else (rate, None)
    async with Stage(
        home, time.time, total_bytes_per_second=total, connection_bytes_per_second=connection
    ) as stage:
        model = await publish(home, stage.outside, CROWDED_BYTES)
        habits = [replace(PATIENT, part_bytes_min=CROWDED_BYTES // count) for count in PART_COUNTS]
        clients = [
            stage.client(f"client {number}", habits[number % len(habits)])
            for number in range(CROWD_COUNT)
        ]
        pulls = await asyncio.gather(*(asyncio.to_thread(each.pull, NAME) for each in clients))
        assert all(each.sha256_ok for each in pulls)
        assert stage.outside.ledger.upstream_bytes <= 1.01 * model.blob_bytes
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes


CROWDED_BYTES = 33 * 1024 * 1024
PART_COUNTS = (16, 11, 7, 1)
CROWD_COUNT = 10


def is_written(file: Path, position: int) -> bool:
    with file.open("rb") as opened:
        return any(os.pread(opened.fileno(), 64, position))


TINY_COUNT = 1000
KEPT_COUNT = 32  # Idle connections to the origin, for the next requests.


async def test_a_thousand_tiny_blobs_come_once_each_and_leave_no_descriptor_open(
    home: Path,
) -> None:
    async with open_scene(home) as scene:
        await scene.pull("early")
        before = count_descriptors(scene.stage.box.pid)
        model = await asyncio.to_thread(write_shards, home)
        outside = scene.stage.outside
        outside.publish(model)
        clients = [scene.stage.client(name, HABITS) for name in ("one", "two")]
        pulls = await asyncio.gather(
            *(asyncio.to_thread(each.pull, "shards", insecure=True) for each in clients)
        )
        assert all(each.sha256_ok for each in pulls)
        fetched = {each.digest: outside.ledger.blob_bytes[each.digest] for each in model.blobs}
        assert fetched == {each.digest: each.size_bytes for each in model.blobs}
        await until(lambda: count_descriptors(scene.stage.box.pid) <= before + KEPT_COUNT)


def write_shards(directory: Path) -> DemoModel:
    tensor = LAYER_TYPE_PREFIX + "tensor"
    layers = [
        write_blob(directory, tensor, blocks(f"shard {number}", 1024))
        for number in range(TINY_COUNT)
    ]
    return assemble(parse_model_name("shards").repository, ["latest"], layers, None)


def count_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  # Names that may vanish meanwhile.
