"""P5: clients that pull a model at once of which the box has nothing, by `ollama-appliance demo`.

The scripted origin, the box and all clients share this machine. A client compares every byte with
the origin's; with few cores, thirty of them at a fast line measure the machine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.part import Setting
from bench.results import Result, Section, Table, bound

CLIENTS = (1, 2, 30)
UPSTREAM_GOAL, TIME_GOAL = 1.01, 1.05
FAST_BYTES_PER_SECOND, SLOW_BYTES_PER_SECOND = 100_000_000, 1_000_000
PARTS = 16


@dataclass(frozen=True, slots=True)
class Line:
    """An Internet connection: limited in total, or each connection of it."""

    name: str
    mib: int
    short_mib: int
    total: int = 0
    each: int = 0

    @property
    def silence_goal_seconds(self) -> float:
        """What P5 promises at such a rate."""
        rate = self.total or self.each * PARTS
        return 1.0 if rate >= FAST_BYTES_PER_SECOND else 5.0


LINES = (
    Line("100 Mb/s", 256, 32, total=12_500_000),
    Line("1 Gb/s", 2048, 128, total=125_000_000),
    Line("16 x 62 Mb/s", 2048, 128, each=7_812_500),
)


def measure(setting: Setting) -> Section:
    """Every line with every crowd."""
    rows: list[tuple[str | float, ...]] = []
    results: list[Result] = []
    rounds = min(setting.rounds, setting.choose(3, 1))
    for number, line in enumerate(LINES, 1):
        mib = setting.choose(line.mib, line.short_mib)
        for clients in CLIENTS:
            played = [_play(setting, line, mib, clients) for _ in range(rounds)]
            rows.append(_row(line, mib, clients, played))
            results += _judge(f"P5.{number}.{clients:02}", line, clients, played)
    headings = ("", "direct, s", "cold, s", "ratio", "longest silence, s", "upstream", "warm, s")
    return Section(results, [Table(headings, rows)])


def _play(setting: Setting, line: Line, mib: int, clients: int) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "appliance", "demo", "--json", "--direct", "--no-keep"),
        *("--clients", str(clients), "--size", f"{mib}MiB"),
        *("--rate", str(line.total), "--connection-rate", str(line.each)),
    ]
    environment = {**os.environ, "TMPDIR": str(_fast_directory(setting.directory))}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, env=environment)
    if not done.stdout:  # Else its status only says that a promise of its own was not kept.
        raise SystemExit(f"{command} failed")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _fast_directory(otherwise: Path) -> Path:
    """Memory, where there is a place for it: not the disk is to be measured."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else otherwise


def _row(
    line: Line, mib: int, clients: int, played: list[dict[str, Any]]
) -> tuple[str | float, ...]:
    def middle(part: str, key: str) -> float:
        return float(median(each[part][key] for each in played))

    return (
        f"{clients} at {line.name}, {mib} MiB",
        *(middle("direct", "seconds"), middle("cold", "seconds"), middle("cold", "ratio")),
        _silence(played),
        median(_upstream(each) for each in played),
        middle("warm", "seconds"),
    )


def _silence(played: list[dict[str, Any]]) -> float:
    return float(median(each["cold"]["longest_silence_seconds"] for each in played))


def _upstream(each: dict[str, Any]) -> float:
    return float(each["cold"]["upstream_bytes"] / each["blob_bytes"])


def _judge(part: str, line: Line, clients: int, played: list[dict[str, Any]]) -> Iterator[Result]:
    who = f"{clients} at {line.name}"
    upstream = max(_upstream(each) for each in played)
    yield bound(f"{part}.upstream", f"{who}: upstream", upstream, at_most=UPSTREAM_GOAL)
    ours, theirs = (median(each[key]["seconds"] for each in played) for key in ("cold", "direct"))
    ratio = median(each["cold"]["ratio"] for each in played)
    goal = f"<= {TIME_GOAL} x direct"
    yield Result(f"{part}.time", f"{who}: seconds", ours, theirs, ratio, goal, ratio <= TIME_GOAL)
    goal_seconds = line.silence_goal_seconds
    what = f"{who}: longest silence, s"
    yield bound(f"{part}.silence", what, _silence(played), at_most=goal_seconds)
