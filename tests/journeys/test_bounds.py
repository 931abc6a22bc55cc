"""What a box does at its bounds: a disk that fills up, memory, an origin that fails for good."""

import asyncio
import errno
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, ClientSession, ClientTimeout, TCPConnector

from appliance.demo.models import (
    LAYER_TYPE_PREFIX,
    MODEL_TYPE,
    DemoBlob,
    DemoModel,
    assemble,
    blocks,
    write_blob,
    write_model,
)
from appliance.demo.outside import CDN_NAME
from appliance.demo.stage import Stage
from appliance.policy.backoff import ATTEMPTS_MAX
from appliance.protocol.digest import Digest
from appliance.protocol.manifest import Descriptor
from appliance.protocol.ranges import Span, format_range
from appliance.protocol.reference import parse_model_name
from appliance.store.layout import Layout
from tests.journeys.conftest import HABITS, Scene, until

KIB, MIB, GIB = 1024, 1024 * 1024, 1024 * 1024 * 1024
PATIENT = replace(HABITS, part_bytes_min=4_000_000, pace=2)

pytestmark = pytest.mark.journey


def on_tmpfs(directory: Path, size: str) -> Sequence[str]:
    """A launcher for a box whose state directory is a file system of its own, seen by it alone."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-m", "true"], check=False).returncode != 0:
        pytest.skip("no private mount namespaces here: needs root and `unshare`")
    state = directory / "state"
    state.mkdir(mode=0o700)
    mount = f'mount -t tmpfs -o size={size},mode=0700 tmpfs "$0" && exec "$@"'
    return unshare, "-m", "sh", "-c", mount, str(state)


def inside(stage: Stage) -> Path:
    """The box's state directory as the box sees it."""
    return Path(f"/proc/{stage.box.pid}/root{stage.directory / 'state'}")


# A disk that fills up.


async def test_a_disk_that_fills_up_in_the_middle_costs_no_client_its_pull(home: Path) -> None:
    async with Stage(
        home,
        time.time,
        total_bytes_per_second=20_000_000,
        settings={"CACHE_MIN_FREE": "1MiB", "CACHE_MAX_SIZE": "60MiB"},
        launcher=on_tmpfs(home, "64m"),
    ) as stage:
        model = await asyncio.to_thread(write_model, home, "wide:1b", [40_000_000])
        stage.outside.publish(model)
        scene, layout = Scene(stage, model), Layout(inside(stage))
        async with asyncio.TaskGroup() as group:
            client = stage.client("early", PATIENT)
            pull = group.create_task(asyncio.to_thread(client.pull, "wide:1b"))
            await until(lambda: stage.outside.ledger.upstream_bytes > 10_000_000)
            ballast = await asyncio.to_thread(fill_up, layout.root)
        assert pull.result().sha256_ok
        assert (await scene.ask("/cache/stats"))["uncached"] > 0
        await until(lambda: not layout.pending_bytes(model.blobs[0].digest).exists())
        ballast.unlink()
        later = stage.client("later", PATIENT)
        assert (await asyncio.to_thread(later.pull, "wide:1b")).sha256_ok
        await until(lambda: layout.blob(model.blobs[0].digest).exists())


def fill_up(directory: Path) -> Path:
    """Leave no room, whatever else writes at the same time."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in iter(lambda: b"\1" * KIB, None):
            try:
                file.write(piece)
            except OSError as error:
                assert error.errno == errno.ENOSPC  # noqa: PT017  # That is what is wanted.
                return ballast
    raise AssertionError("endless")


# Memory.

# A box that has just started takes 100 MiB; all that a crowd adds has to fit in the rest.
MEMORY_BYTES_MAX = 160 * MIB
TINY_COUNT = 1000
HUGE_BYTES = 200 * 1000**3


def peak_memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak) * KIB


async def test_a_thousand_blobs_pulled_at_once_queue_and_keep_memory_bounded(home: Path) -> None:
    async with Stage(home, time.time) as stage:
        model = await asyncio.to_thread(write_shards, home)
        stage.outside.publish(model)
        await learn_manifest(stage, model)
        async with direct_session() as session:
            urls = [blob_url(stage, model, each.digest) for each in model.blobs]
            bodies = await asyncio.gather(*(fetch(session, url) for url in urls))
        sizes = [each.size_bytes for each in model.blobs]
        assert [len(body) for body in bodies] == sizes
        assert stage.outside.ledger.upstream_bytes == sum(sizes)
        assert peak_memory_bytes(stage.box.pid) <= MEMORY_BYTES_MAX


async def test_a_huge_sparse_blob_is_read_at_both_ends_in_bounded_memory(home: Path) -> None:
    launcher = on_tmpfs(home, "400g")
    async with Stage(
        home, time.time, total_bytes_per_second=50_000_000, launcher=launcher
    ) as stage:
        model = await asyncio.to_thread(publish_huge, home)
        stage.outside.publish(model)
        await learn_manifest(stage, model)
        url = blob_url(stage, model, model.blobs[0].digest)
        async with direct_session() as session:
            ends = await asyncio.gather(
                fetch(session, url, Span(0, MIB)),
                fetch(session, url, Span(HUGE_BYTES - MIB, HUGE_BYTES)),
            )
        assert set(ends) == {bytes(MIB)}
        assert (await Scene(stage, model).ask("/cache/stats"))["uncached"] == 0
        assert stage.outside.ledger.upstream_bytes < HUGE_BYTES // 1000
        assert peak_memory_bytes(stage.box.pid) <= MEMORY_BYTES_MAX


def write_shards(directory: Path) -> DemoModel:
    layers = [
        write_blob(directory, f"{LAYER_TYPE_PREFIX}tensor", blocks(f"shard {number}", 50_000))
        for number in range(TINY_COUNT)
    ]
    return assemble(parse_model_name("shards").repository, ["latest"], layers, None)


def publish_huge(directory: Path) -> DemoModel:
    """A blob whose size is all that is true of it: nobody will come to hash it."""
    digest = Digest("ab" * 32)
    path = directory / digest.encoded
    with path.open("wb") as file:
        file.truncate(HUGE_BYTES)
    layer = DemoBlob(Descriptor(MODEL_TYPE, digest, HUGE_BYTES), path)
    return assemble(parse_model_name("huge").repository, ["latest"], [layer], None)


def direct_session() -> ClientSession:
    """As many connections as anybody wants."""
    return ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=60))


def blob_url(stage: Stage, model: DemoModel, digest: Digest) -> str:
    return f"{stage.box.web_url}/v2/{model.repository}/blobs/{digest}"


async def learn_manifest(stage: Stage, model: DemoModel) -> None:
    url = f"{stage.box.web_url}/v2/{model.repository}/manifests/{model.tags[0]}"
    async with direct_session() as session:
        await fetch(session, url)


async def fetch(session: ClientSession, url: str, span: Span | None = None) -> bytes:
    fields = {"Range": format_range(span)} if span else {}
    async with session.get(url, headers=fields, raise_for_status=True) as answer:
        return await answer.read()


# An origin that fails for good.


async def test_a_cdn_that_fails_for_good_ends_the_body_short_and_a_later_pull_works(
    home: Path,
) -> None:
    async with Stage(home, time.time) as stage:
        model = await asyncio.to_thread(write_model, home, "tiny:1b", [1_000_000])
        stage.outside.publish(model)
        await learn_manifest(stage, model)
        stage.outside.faults.cdn_status = 500
        digest = model.blobs[0].digest
        async with direct_session() as session:
            with pytest.raises(ClientPayloadError):
                await fetch(session, blob_url(stage, model, digest))
        asked = stage.outside.ledger.count("GET", digest.encoded, CDN_NAME)
        assert asked == ATTEMPTS_MAX
        stage.outside.faults.cdn_status = None
        client = stage.client("later", HABITS)
        assert (await asyncio.to_thread(client.pull, "tiny:1b")).sha256_ok
        stats = await Scene(stage, model).ask("/cache/stats")
        assert stats["fetched_bytes"] == model.blob_bytes
