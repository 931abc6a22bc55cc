"""Who reads a filling blob: clients of several generations, and a table of what they feel."""

import functools
import random
import sys
import timeit
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from math import inf

from appliance.policy.fillplan import plan_runs
from appliance.policy.places import Reader
from appliance.policy.runs import Run
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span
from tests.appliance.policy.fill_simulator import MB, Line, Outcome, Simulation, Visit


def parts(size_bytes: int, count: int, *, comes_at: float = 0.0, leaves_at: float = inf,
          rate: float = inf) -> list[Visit]:  # fmt: skip
    """A client that asks for `count` equal parts of a blob at once."""
    edges = [size_bytes * index // count for index in range(count + 1)]
    return [
        Visit(start, stop, comes_at, leaves_at, rate)
        for start, stop in pairwise(edges)
        if start < stop
    ]


def resumed(size_bytes: int, seed: int, *, comes_at: float = 0.0) -> list[Visit]:
    """A client that got some way into each of its 16 parts elsewhere, and asks for the rest."""
    dice = random.Random(seed)
    return [
        Visit(dice.randrange(part.start, part.stop), part.stop, comes_at)
        for part in parts(size_bytes, 16)
    ]


def crowd(size_bytes: int) -> list[Visit]:
    """Thirty clients of 16 parts, one every tenth of a second."""
    return [
        visit
        for index in range(30)
        for visit in parts(size_bytes, 16, comes_at=index / 10)
    ]  # fmt: skip


def resumed_crowd(size_bytes: int) -> list[Visit]:
    """Thirty clients that all go on elsewhere: 480 places, none of which is another's."""
    return [visit for seed in range(30) for visit in resumed(size_bytes, seed)]


def mixed_crowd(size_bytes: int) -> list[Visit]:
    """Thirty clients within a second that cut the blob in 16, 11, 7 parts, or not at all."""
    return [
        visit
        for index in range(30)
        for visit in parts(size_bytes, (16, 11, 7, 1)[index % 4], comes_at=index * 0.03)
    ]


def mobbed(size_bytes: int) -> list[Visit]:
    """One whole reader, and the thirty others when a quarter is there."""
    later = [replace(each, comes_at=each.comes_at + 1.5) for each in mixed_crowd(size_bytes)]
    return [*parts(size_bytes, 1), *later]


SETUPS: dict[str, Callable[[int], list[Visit]]] = {
    "nobody": lambda _: [],
    "1 whole": lambda size_bytes: parts(size_bytes, 1),
    "1 x 16": lambda size_bytes: parts(size_bytes, 16),
    "1 x 64": lambda size_bytes: parts(size_bytes, 64),
    "30 x 16": crowd,
    "4 resumed": lambda size_bytes: [
        visit for seed in range(4) for visit in resumed(size_bytes, seed)
    ],
    "30 resumed": resumed_crowd,
}
CROWDS: dict[str, Callable[[int], list[Visit]]] = {
    "30 mixed": mixed_crowd,
    "1, then 30": mobbed,
    "4 resumed": SETUPS["4 resumed"],
}
CROWD_SIZES = (33 * 1024 * 1024, 40 * MB, 100 * MB, 1000 * MB)
CROWD_LINES = {
    "12.5 MB/s": Line(12.5 * MB),
    "16 x 0.78 MB/s": Line(100 * MB, rate_each=12.5 * MB / 16),
    "125 MB/s": Line(125 * MB),
    "16 x 7.8 MB/s": Line(1000 * MB, rate_each=125 * MB / 16),
}
LINES = {
    "1 MB/s": Line(1 * MB),
    "12.5 MB/s": Line(12.5 * MB),
    "125 MB/s": Line(125 * MB),
    "125 MB/s, 100 ms": Line(125 * MB, round_trip_seconds=0.1),
    "16 x 8 MB/s": Line(1000 * MB, rate_each=8 * MB),
    "1000 MB/s": Line(1000 * MB),
    "12.5 MB/s, 1 connection": Line(12.5 * MB, connections=1),
}
FILL_SECONDS = 20.0  # Of an ideal fill.
SIZE_BYTES_MIN = 64 * 1024 * 1024  # No small blob.


def simulate(setup: str, line: Line) -> tuple[int, Outcome]:
    """Fill a blob of FILL_SECONDS on that line; return its size with the outcome."""
    size_bytes = max(SIZE_BYTES_MIN, int(line.rate_usable * FILL_SECONDS))
    return size_bytes, Simulation(size_bytes, line, SETUPS[setup](size_bytes)).run()


def rows() -> Iterator[str]:
    """Yield the table: set-up and line, longest silence, time against ideal, what it took."""
    yield f"{'line':24}{'readers':12}  silence  seconds   ideal  requests    lost"
    for name, line in LINES.items():
        for setup in SETUPS:
            size_bytes, outcome = simulate(setup, line)
            ideal = size_bytes / line.rate_usable
            lost = outcome.wasted_bytes / size_bytes
            yield (
                f"{name:24}{setup:12}{outcome.silence_seconds:8.2f}s{outcome.seconds:9.1f}"
                f"{ideal:8.1f}{outcome.requests:10}{lost:8.2%}"
            )


def crowd_rows() -> Iterator[str]:
    """Yield the table of crowds on blobs where every byte fetched in vain shows."""
    yield f"{'line':16}{'readers':12}{'size':>8}  silence  seconds   ideal  requests    lost"
    for name, line in CROWD_LINES.items():
        for setup, visits in CROWDS.items():
            for size_bytes in CROWD_SIZES:
                outcome = Simulation(size_bytes, line, visits(size_bytes)).run()
                yield (
                    f"{name:16}{setup:12}{size_bytes // MB:5} MB{outcome.silence_seconds:8.2f}s"
                    f"{outcome.seconds:9.1f}{size_bytes / line.rate_usable:8.1f}"
                    f"{outcome.requests:10}{outcome.wasted_bytes / size_bytes:8.2%}"
                )


def plan_seconds(connections: int = 16) -> float:
    """Measure one plan for 500 readers at as many places, all connections in use."""
    dice = random.Random(0)
    starts = sorted(dice.randrange(8 << 30) for _ in range(500))
    held = SpanSet(Span(max(0, start - 65536), start) for start in starts)
    runs = [Run(start, start, start + 65536, 0.0) for start in starts[::31][:connections]]
    state = functools.partial(
        plan_runs,
        size_bytes=8 << 30,
        held=held,
        runs=runs,
        readers=[Reader(start, 8 << 30, dice.random()) for start in starts],
        rate_bytes_per_second=125.0 * MB,
        connections_max=connections,
        now=2.0,
    )
    return min(timeit.repeat(state, number=100, repeat=5)) / 100


def write_table() -> None:
    sys.stdout.write(f"one plan for 500 readers: {plan_seconds() * 1000:.2f} ms\n")
    for row in chain(crowd_rows(), rows()):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    write_table()
