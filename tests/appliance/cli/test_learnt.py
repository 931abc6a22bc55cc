"""`learnt`, as it is typed: of a running box, and from the disk where none runs."""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import learnt
from appliance.control import Control
from appliance.policy.delivery import Delivery
from appliance.policy.learning import LESSON_SECONDS, Subject
from appliance.store.store import open_store
from appliance.web.learnt import FORGET_LEARNT

NEWER = Subject("192.168.1.20", (0, 36, 0), Delivery.TLS)
UNKNOWN = Subject("192.168.1.21", None, Delivery.REDIRECT)
OVER = Subject("192.168.1.22", None, Delivery.REDIRECT)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    state = tmp_path / "state"
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_STATE_DIR", str(state))
    monkeypatch.setenv("COLUMNS", "120")
    return state


@pytest.fixture
def taught(state: Path) -> Path:
    now = time.time()
    with open_store(state) as store:
        store.replace_lessons({NEWER: now - 5, UNKNOWN: now - 60, OVER: now - LESSON_SECONDS})
    return state


def invoke(*words: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, default=Path(os.devnull))
    learnt.add_parser(parser.add_subparsers())
    args = parser.parse_args(["learnt", *words])
    code: int = args.run(args)
    return code


def test_with_no_box_the_disk_is_read(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(each["client"], each["version"], each["missed"]) for each in found] == [
        ("192.168.1.20", "0.36.0", "tls"),
        ("192.168.1.21", None, "redirect"),
    ]


def test_a_person_reads_a_table(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke() == 0
    head, newer, unknown = capsys.readouterr().out.splitlines()
    assert head.split() == ["CLIENT", "OLLAMA", "LEFT", "ALONE", "UNTIL"]
    assert newer.split()[:5] == ["192.168.1.20", "0.36.0", "https,", "blob", "host"]
    assert unknown.split()[:4] == ["192.168.1.21", "unknown", "plain", "http"]


def test_what_is_cleared_is_gone(taught: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("--clear") == 0
    assert capsys.readouterr().out == "forgotten: 2\n"
    assert invoke() == 0
    assert capsys.readouterr().out.startswith("nothing learnt")
    with open_store(taught) as store:
        assert store.lessons() == {}


@pytest.mark.parametrize("words", [(), ("--clear",)])
def test_no_state_directory_is_made_for_it(
    state: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert invoke(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not state.exists()


@pytest.fixture
def made(state: Path) -> Path:
    state.mkdir()
    return state


async def test_a_running_box_is_asked_and_told(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known: list[dict[str, Any]] = [{"client": "192.168.1.20"}]

    async def learnt_by_it() -> list[dict[str, Any]]:
        return list(known)

    async def forget(wish: Mapping[str, Any]) -> list[dict[str, Any]]:
        forgotten = list(known)
        known.clear()
        return forgotten

    async with Control(made, {"learnt": learnt_by_it}, {FORGET_LEARNT: forget}):
        for words, told in [((), 1), (("--clear",), 1), ((), 0)]:
            assert await asyncio.to_thread(invoke, *words, "--json") == 0
            assert len(json.loads(capsys.readouterr().out)) == told


def test_a_box_that_hangs_keeps_its_store(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_store(state):
        assert invoke("--clear") == 1
    assert "already uses" in capsys.readouterr().err
