"""`version`, as it is typed: of this program, and of the box beside it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from appliance import __version__
from appliance.cli import version
from appliance.control import Control
from tests.appliance.cli.wishing import invoke


def test_without_a_box_it_tells_of_itself(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(version, "version") == 0
    assert f"ollama-appliance {__version__}, Python 3." in capsys.readouterr().out
    assert invoke(version, "version", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["running"]) == (__version__, None)


@pytest.mark.parametrize(("running", "said"), [(__version__, "the same"), ("0.0.1", "restart it")])
async def test_a_box_of_another_version_is_noticed(
    state_dir: Path, capsys: pytest.CaptureFixture[str], running: str, said: str
) -> None:
    async def status() -> dict[str, Any]:
        return {"version": running}

    await asyncio.to_thread(state_dir.mkdir)
    async with Control(state_dir, {"status": status}):
        assert await asyncio.to_thread(invoke, version, "version") == 0
    assert said in capsys.readouterr().out


def test_with_a_configuration_that_is_none_it_still_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke(version, "version") == 0
    assert __version__ in capsys.readouterr().out
