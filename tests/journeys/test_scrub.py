"""A bit that flips on the disk of a real box: found, kept from clients, mended, and shown."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from appliance.control import wish_of_box
from appliance.demo.models import write_model
from appliance.demo.stage import Stage
from appliance.store.layout import Layout
from appliance.store.records import CHECKED_SPAN_BYTES
from tests.journeys.conftest import Scene, run

WEIGHTS_BYTES = CHECKED_SPAN_BYTES + 1_000_000

pytestmark = pytest.mark.journey


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        (byte,) = os.pread(file.fileno(), 1, offset)
        os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)


async def test_a_flipped_bit_is_mended_by_its_16_mib_and_no_client_gets_it(home: Path) -> None:
    async with Stage(home, time.time) as stage:
        model = await asyncio.to_thread(write_model, home, "tiny:1b", [WEIGHTS_BYTES])
        stage.outside.publish(model)
        scene = Scene(stage, model)
        await scene.pull("cold", insecure=True)
        layout, digest = Layout(home / "state"), scene.weights.digest
        await asyncio.to_thread(flip, layout.blob(digest), CHECKED_SPAN_BYTES + 5)
        told = await wish_of_box(home / "state", "verify", {})
        assert len(told["problems"]) == 1
        before = scene.upstream_bytes
        done = await wish_of_box(home / "state", "scrub", {"model": "tiny:1b"})
        assert done["damaged"] == [{"digest": str(digest), "bad_bytes": 1_000_000, "mended": True}]
        assert scene.upstream_bytes - before == 1_000_000
        copy = await scene.pull("warm", insecure=True)
        assert copy.stat().st_size == WEIGHTS_BYTES
        assert scene.upstream_bytes - before == 1_000_000
        stats = await scene.ask("/cache/stats")
        assert (stats["damaged"], stats["mended"], stats["mended_bytes"]) == (1, 1, 1_000_000)
        assert stats["scrub"]["unmended"] == []
        assert (await wish_of_box(home / "state", "verify", {}))["problems"] == []


async def test_with_other_bytes_upstream_it_is_quarantined_shown_and_tried_again(
    home: Path,
) -> None:
    async with Stage(home, time.time) as stage:
        model = await asyncio.to_thread(write_model, home, "tiny:1b", [WEIGHTS_BYTES])
        stage.outside.publish(model)
        scene = Scene(stage, model)
        await scene.pull("cold", insecure=True)
        digest = scene.weights.digest
        await asyncio.to_thread(flip, Layout(home / "state").blob(digest), 5)
        stage.outside.faults.flipped.add(digest)
        done = await wish_of_box(home / "state", "scrub", {})
        assert [each["mended"] for each in done["damaged"]] == [False]
        stats = await scene.ask("/cache/stats")
        assert (stats["quarantined_count"], stats["mismatches"]) == (1, 1)
        assert stats["scrub"]["unmended"] == [str(digest)]
        (shown,) = await scene.ask("/api/models")
        assert shown["complete"] is False
        reply = await run(
            *("curl", "-sS", "-o", home / "got", "-w", "%{http_code}"),
            f"{stage.box.web_url}/v2/library/tiny/blobs/{digest}",
        )
        assert reply.out == b"503"  # Not yet: the origin's bytes were wrong a moment ago.
