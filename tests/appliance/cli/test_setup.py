"""`setup`, as it is typed: before the first start, and beside a real box."""

import asyncio
import json
from pathlib import Path

import pytest

from appliance.cli import setup
from tests.appliance.boxes import environment, make_config, running_box
from tests.appliance.cli.wishing import invoke


def test_before_the_first_start_the_next_step_is_to_start_it(
    state_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "UNIT_FILE", state_dir / "no.service")
    assert invoke(setup, "setup") == 1
    assert capsys.readouterr().out.splitlines()[:4] == [
        "done    the settings hold",
        "next    the box runs",
        "          make run",
        "later   clients can use it",
    ]
    assert not state_dir.exists()


async def test_beside_a_box_it_is_to_lead_the_network_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment(tmp_path / "state")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = {name.removeprefix("OLLAMA_APPLIANCE_"): value for name, value in variables.items()}
    async with running_box(make_config(tmp_path / "state", **settings)) as box:
        assert await asyncio.to_thread(invoke, setup, "setup", "--json") == 1
        steps = json.loads(capsys.readouterr().out)
        states = {each["what"]: each["state"] for each in steps}
        assert states["clients can use it"] == "done"
        assert states["the network's machines are led to it"] == "next"
        assert states["a machine has pulled through it"] == "later"
        assert box.url in str(steps)
        assert states["changes from the page, or by scripts"] == "choice"


def test_settings_that_do_not_hold_come_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke(setup, "setup") == 1
    assert "dns.port" in capsys.readouterr().err
