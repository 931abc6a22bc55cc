"""A tiny box on loopback, for all who look at one as its clients do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance import self_pull as pulling
from appliance.certs import Authority, open_authority
from tests.appliance.tinybox import BLOB_HOST, NAME, TinyBox


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("health") / "ca"
    return open_authority(directory, (NAME, BLOB_HOST), now=datetime.now(UTC))


@pytest.fixture
async def box(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TinyBox]:
    """Open doors, and a self-pull that does not wait for them."""
    monkeypatch.setattr(pulling, "LEAD_SECONDS_MAX", -1.0)
    monkeypatch.setattr(pulling, "LEAD_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(pulling, "PULL_AGAIN_SECONDS", 0.0)
    box = TinyBox(authority)
    await box.start(tmp_path)
    yield box
    await box.stop()
