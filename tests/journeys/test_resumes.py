"""A pull cut short, and what the next one asks for: nothing that is on the client's disk."""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.box import BoxProcess
from appliance.demo.client import Client
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import (
    BEFORE_0_3_1,
    BEFORE_0_5_8,
    BEFORE_0_32_2,
    BEFORE_0_35_2,
    Habits,
)
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import write_model
from appliance.demo.outside import Outside
from appliance.protocol.digest import Digest
from tests.journeys.conftest import WEIGHTS_BYTES

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]

CUT_BYTES = 1_000_000


@pytest.mark.parametrize(
    "habits",
    [BEFORE_0_3_1, BEFORE_0_5_8, BEFORE_0_32_2, BEFORE_0_35_2],
    ids=lambda habits: habits.version,
)
async def test_a_client_interrupted_asks_a_restarted_box_for_just_what_it_lacks(
    home: Path, habits: Habits
) -> None:
    async with Outside(home, time.time) as outside:
        model = await asyncio.to_thread(write_model, home, "tiny:1b", [WEIGHTS_BYTES])
        outside.publish(model)
        outside.faults.body = BodyFault(Break.STALL, after_bytes=WEIGHTS_BYTES // 2)
        weights = model.blobs[0]
        habits = replace(habits, part_bytes_min=200_000)
        async with BoxProcess(home, outside) as first:
            client = Client(home / "client", first.surroundings, habits)
            await interrupt_after(client, CUT_BYTES)
        path = client.blob_path(weights.digest)
        files = path.parent.glob(f"{path.name}-partial-*")
        kept_bytes = sum(json.loads(each.read_text())["Completed"] for each in files)
        assert kept_bytes >= CUT_BYTES
        outside.faults.body = None
        async with BoxProcess(home, outside) as second:
            again = Client(home / "client", second.surroundings, habits)
            pulled = await asyncio.to_thread(again.pull, "tiny:1b")
        assert pulled.sha256_ok
        assert pulled.blobs[0].received_bytes == weights.size_bytes - kept_bytes


async def interrupt_after(client: Client, size_bytes: int) -> None:
    """A pull that is ended as soon as so many bytes of a blob are on the client's disk."""

    def progress(_: Digest, here_bytes: int, total_bytes: int) -> None:
        if here_bytes >= size_bytes:
            client.interrupt()

    with pytest.raises(InterruptedPullError):
        await asyncio.to_thread(client.pull, "tiny:1b", progress=progress)
