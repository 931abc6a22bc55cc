"""A model, and the Internet that offers it over TLS."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.demo.models import DemoBlob, DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.upstream.origin import Origin
from tests.appliance.upstream.origins import origin


@pytest.fixture
def model(tmp_path: Path) -> DemoModel:
    directory = tmp_path / "models"
    directory.mkdir()
    return write_model(directory, "tiny", [300_000])


@pytest.fixture
async def outside(tmp_path: Path, model: DemoModel) -> AsyncIterator[Outside]:
    async with Outside(tmp_path, time.time) as opened:
        opened.publish(model)
        yield opened


@pytest.fixture
async def source(outside: Outside) -> AsyncIterator[Origin]:
    async with origin(outside) as opened:
        yield opened


@pytest.fixture
def blob(model: DemoModel) -> DemoBlob:
    return model.blobs[0]


@pytest.fixture
def content(blob: DemoBlob) -> bytes:
    return blob.path.read_bytes()
