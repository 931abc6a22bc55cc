"""`prefetch`, as it is typed, beside a box that tells what it does. A real one: journeys."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from appliance.cli import prefetch
from appliance.control import Control
from appliance.upkeep import read_model
from tests.appliance.cli.wishing import invoke

DIGEST = "sha256:" + "ab" * 32
BLOB = {"status": "pulling abab", "digest": DIGEST, "total": 10}
STORY: tuple[dict[str, Any], ...] = (
    {"status": "pulling manifest"},
    BLOB,
    {**BLOB, "completed": 10},
    {"status": "success"},
)


async def typed(state_dir: Path, ends: Mapping[str, Any], *words: str) -> int:
    """The exit code, where each model's story ends as `ends` says."""

    async def tell(wish: Mapping[str, Any]) -> AsyncGenerator[Any]:
        read_model(wish["model"])
        for line in STORY[:-1]:
            yield line
        yield ends.get(wish["model"], STORY[-1])

    await asyncio.to_thread(state_dir.mkdir)
    async with Control(state_dir, {}, {}, {"prefetch": tell}):
        return await asyncio.to_thread(invoke, prefetch, "prefetch", *words)


async def test_each_model_is_told_when_it_is_here(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(state_dir, {}, "llama3.2", "qwen3:4b") == 0
    said = capsys.readouterr()
    assert said.out == "llama3.2 is here\nqwen3:4b is here\n"
    assert said.err == ""


async def test_as_json_every_step_is_a_line(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(state_dir, {}, "llama3.2", "--json") == 0
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert lines == [{"model": "llama3.2", **each} for each in STORY]


async def test_one_that_fails_does_not_keep_the_next_from_coming(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = {"nope": {"error": "pull model manifest: file does not exist"}}
    assert await typed(state_dir, ends, "nope", "llama3.2") == 1
    said = capsys.readouterr()
    assert said.out == "llama3.2 is here\n"
    assert "nope: pull model manifest: file does not exist" in said.err


async def test_a_story_that_breaks_off_is_no_success(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(state_dir, {"llama3.2": BLOB}, "llama3.2") == 1
    assert "stopped before it was here" in capsys.readouterr().err


async def test_what_names_no_model_is_refused(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await typed(state_dir, {}, "a b") == 1
    assert "a name is such as llama3.2" in capsys.readouterr().err


def test_without_a_box_it_says_how_to_start_one(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(prefetch, "prefetch", "llama3.2") == 1
    assert "ollama-appliance run" in capsys.readouterr().err


def test_a_bar_stands_where_the_blob_does() -> None:
    progress = Progress(console=Console(quiet=True))
    bars = prefetch.Bars(progress, "llama3.2")
    for line in (*STORY[:2], {**BLOB, "completed": 4}):
        bars.show(line)
    (bar,) = progress.tasks
    assert (bar.description, bar.completed, bar.total) == ("llama3.2 abababababab", 4, 10)
