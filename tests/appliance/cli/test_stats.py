"""`stats` and `cache stats`, as they are typed: of a running box, and of its store."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.cache.tally import Count
from appliance.cli import cache, stats
from appliance.control import Control
from appliance.store.store import open_store
from tests.appliance.cli.wishing import invoke, store_tiny


def count(state_dir: Path, **counts: int) -> None:
    """Store a model, and what was served of it on two days."""
    store_tiny(state_dir)
    with open_store(state_dir) as store:
        for hour in ("2026-03-01T10", "2026-03-02T11"):
            store.add_totals(hour, counts, kept_from="2026")


COUNTS = {Count.SERVED_BYTES.value: 8_000_000, Count.FETCHED_BYTES.value: 2_000_000}


@pytest.mark.parametrize("words", [(stats, "stats"), (cache, "cache", "stats")])
def test_without_a_box_the_store_tells(
    state_dir: Path, capsys: pytest.CaptureFixture[str], words: tuple[Any, ...]
) -> None:
    count(state_dir, **COUNTS)
    assert invoke(*words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "saved    12.0 MB: 75 % of 16.0 MB served came from the cache"
    assert lines[1] == "fetched  4.0 MB from the Internet"
    assert lines[2] == "held     3 bytes in 1 blobs; 1 manifests"
    assert lines[-2].split() == ["2026-03-02", "8.0", "MB", "2.0", "MB", "6.0", "MB"]
    assert invoke(*words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["served_bytes"], told["byte_hit_ratio"], told["blob_count"]) == (16e6, 0.75, 1)


async def test_a_running_box_is_asked(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"blob_count": 5}

    async def answer_stats() -> Any:
        return answer

    await asyncio.to_thread(state_dir.mkdir)
    async with Control(state_dir, {"stats": answer_stats}):
        assert await asyncio.to_thread(invoke, stats, "stats", "--json") == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_what_went_wrong_is_noted(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count(state_dir, **{Count.MISMATCHES.value: 1, Count.UNCACHED.value: 2})
    assert invoke(stats, "stats") == 0
    assert "note     2 had the wrong bytes, 4 passed uncached" in capsys.readouterr().out


def test_without_box_and_store_it_says_how_to_start_one(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(stats, "stats") == 1
    assert "ollama-appliance run" in capsys.readouterr().err


async def test_an_older_box_s_store_is_left_alone(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(state_dir.mkdir)
    async with Control(state_dir, {}):
        assert await asyncio.to_thread(invoke, stats, "stats") == 1
    assert "restart it" in capsys.readouterr().err
