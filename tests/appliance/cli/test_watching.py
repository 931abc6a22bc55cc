"""The bar for what takes long: asked of the running box, else of who does it here."""

import argparse
import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from appliance.cli import watching
from appliance.cli.watching import make_look
from appliance.control import Control
from appliance.upkeep import Upkeep

HALF = {"read_bytes": 1, "total_bytes": 2}
ARGS = argparse.Namespace(config=None)


async def test_the_running_box_knows_how_far_it_is(state_dir: Path) -> None:
    async def verify() -> Any:
        return {"asked": HALF}

    await asyncio.to_thread(state_dir.mkdir)
    async with Control(state_dir, {"verify": verify}):
        assert await asyncio.to_thread(make_look(ARGS, "verify", [])) == HALF


def test_who_does_it_here_knows_better(state_dir: Path) -> None:
    doer = cast("Upkeep", SimpleNamespace(progress=lambda verb: {"verify": HALF}[verb]))
    assert make_look(ARGS, "verify", [doer])() == HALF


def test_where_nobody_knows_nothing_is_shown(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_look(ARGS, "verify", [])() is None
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert make_look(ARGS, "verify", [])() is None


def test_without_a_terminal_nothing_is_shown(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with watching.watching(ARGS, "verify") as here:
        here(cast("Upkeep", None))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_comes_and_goes(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(watching, "TICK_SECONDS", 0.001)
    is_seen = threading.Event()

    def look(verb: str) -> dict[str, int]:
        is_seen.set()
        return HALF

    with watching.watching(ARGS, "verify") as here:
        here(cast("Upkeep", SimpleNamespace(progress=look)))
        assert is_seen.wait(30)
    said = capsys.readouterr()
    assert said.out == ""
    assert "read" in said.err
