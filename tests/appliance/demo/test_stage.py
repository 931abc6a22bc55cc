"""The stage: a box between the Internet and its clients, everything in one directory."""

import asyncio
import time
from pathlib import Path

import pytest

from appliance.demo.models import DemoModel
from appliance.demo.stage import Stage

pytestmark = pytest.mark.journey


async def test_clients_of_the_stage_stand_behind_the_box(tmp_path: Path, model: DemoModel) -> None:
    async with Stage(tmp_path, time.time) as stage:
        stage.outside.publish(model)
        for name in ("one", "two"):
            pulled = await asyncio.to_thread(stage.client(name).pull, "tiny")
            assert pulled.sha256_ok
            assert (tmp_path / name / "blobs").is_dir()
        assert stage.outside.ledger.upstream_bytes == model.blob_bytes
