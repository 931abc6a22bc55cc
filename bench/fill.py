"""What a fill costs: CPU-seconds a GiB and peak memory of the process that fetches, beside curl.

It starts a TLS origin (bench/origin.py) and then, in turn and some rounds of each: `curl -o` of its
blob, and a real Cache that fills the same blob in a process of its own. The box's figure includes
TLS, sha256, the checksums, the writes and the syncs, and no serving; curl's only TLS and the
writes. Before each a scratch file of the blob's size is written and removed: in a virtual machine
the first touch of a page costs more than all the rest, and would be counted for whom it meets.
"""

import asyncio
import contextlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.policy.eviction import Budget
from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Repository
from appliance.store.store import open_store
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.dialling import Dialling
from appliance.upstream.origin import Origin
from bench.origin import NAME
from bench.part import Setting
from bench.results import Section, Table, bound

GIB = 2**30
CONNECTIONS = (1, 16)
GOAL = 2.2
REPOSITORY = Repository("library", "bench")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one download took."""

    cpu_seconds: float
    system_seconds: float  # Of those, in the kernel.
    elapsed_seconds: float
    rss_kib: int

    def __truediv__(self, gib: float) -> "Cost":
        """The same a GiB; memory is no cost of that kind."""
        return Cost(
            self.cpu_seconds / gib,
            self.system_seconds / gib,
            self.elapsed_seconds / gib,
            self.rss_kib,
        )


def measure(setting: Setting) -> Section:
    """P6: one connection and sixteen, and curl."""
    mib = setting.choose(1024, 256)
    with _origin(setting.room("P6"), mib * 2**20) as origin:
        costs = _in_turn(setting.directory, origin, setting.rounds)
    results = [
        bound(
            f"P6.{connections:02}",
            f"fill by {connections} connections: CPU-s a GiB",
            _cost(costs[f"fill, connections={connections}"]),
            at_most=GOAL,
            theirs=_cost(costs["curl -o"]),
        )
        for connections in CONNECTIONS
    ]
    headings = ("", "CPU-s a GiB", "least", "in the kernel", "MiB/s", "peak RSS, MiB")
    return Section(results, [Table(headings, [_row(who, each) for who, each in costs.items()])])


def _cost(each: list[Cost]) -> float:
    return statistics.median(cost.cpu_seconds for cost in each)


def _row(who: str, each: list[Cost]) -> tuple[str | float, ...]:
    return (
        who,
        _cost(each),
        min(cost.cpu_seconds for cost in each),
        statistics.median(cost.system_seconds for cost in each),
        statistics.median(1024 / cost.elapsed_seconds for cost in each),
        max(cost.rss_kib for cost in each) / 1024,
    )


@contextlib.contextmanager
def _origin(directory: Path, size_bytes: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.origin", str(directory), str(size_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()) | {"size_bytes": size_bytes}
        process.communicate()


def _in_turn(directory: Path, origin: dict[str, Any], rounds: int) -> dict[str, list[Cost]]:
    """What a GiB of it costs each of them."""
    costs: dict[str, list[Cost]] = {}
    share = origin["size_bytes"] / GIB
    for _ in range(rounds):
        costs.setdefault("curl -o", []).append(_curl(directory / "curled", origin) / share)
        for connections in CONNECTIONS:
            cost = _spawn_fill(directory / "state", origin, connections) / share
            costs.setdefault(f"fill, connections={connections}", []).append(cost)
    return costs


def _curl(path: Path, origin: dict[str, Any]) -> Cost:
    where = f"{NAME}:{origin['port']}"
    command = [
        *("curl", "--silent", "--fail", "--noproxy", "*", "--cacert", origin["ca_file"]),
        *("--resolve", f"{where}:127.0.0.1", "-o", str(path), f"https://{where}/blob"),
    ]
    _touch_pages(path.parent, origin["size_bytes"])
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or path.stat().st_size != origin["size_bytes"]:
        raise SystemExit(f"curl failed: {process.returncode}")
    path.unlink()
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return Cost(cpu_seconds, usage.ru_stime, elapsed_seconds, usage.ru_maxrss)


def _touch_pages(directory: Path, size_bytes: int) -> None:
    with tempfile.TemporaryFile(dir=directory) as scratch:
        piece = bytes(2**20)
        for _ in range(-(-size_bytes // len(piece))):
            scratch.write(piece)


def _spawn_fill(root: Path, origin: dict[str, Any], connections: int) -> Cost:
    wanted = json.dumps({"root": str(root), "origin": origin, "connections": connections})
    command = [sys.executable, "-m", "bench.fill", wanted]
    _touch_pages(root.parent, origin["size_bytes"])
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        return Cost(**json.loads(done.stdout))
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def _fill(root: str, origin: dict[str, Any], connections: int) -> Cost:
    """Fill the origin's blob into a new store, and say what that cost this process."""

    async def resolve(host: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    digest, size_bytes = Digest(origin["digest"]), origin["size_bytes"]
    dialling = Dialling(resolve=resolve, ca_file=origin["ca_file"])
    url = f"https://{NAME}:{origin['port']}"
    with open_store(Path(root)) as store:
        async with Origin(url, dialling, via="bench", user_agent="bench") as source:
            began, (user_began, system_began) = time.monotonic(), _cpu_seconds()
            async with Cache(
                store,
                lambda _: source,
                now=time.time,
                fresh_seconds=60,
                budget=lambda: Budget(0, size_bytes),
                uncounted=Uncounted(BUILTIN.repository, BuiltinSource().digests),
                connections=connections,
            ) as cache:
                span = Span(0, size_bytes)
                (await cache.open_blob(REPOSITORY, digest, size_bytes, span)).close()
                while cache.fills:  # noqa: ASYNC110  # A fill tells its readers, and has none.
                    await asyncio.sleep(0.02)
            user, system = _cpu_seconds()
            elapsed_seconds = time.monotonic() - began
        if store.find_blob(digest) is None:
            raise SystemExit("the fill failed")
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    system_seconds = system - system_began
    cpu_seconds = user - user_began + system_seconds
    return Cost(cpu_seconds, system_seconds, elapsed_seconds, peak_kib)


def _cpu_seconds() -> tuple[float, float]:
    """Of this process: its own, and the kernel's for it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


if __name__ == "__main__":  # One fill, in a process of its own.
    print(json.dumps(asdict(uvloop.run(_fill(**json.loads(sys.argv[1]))))))
