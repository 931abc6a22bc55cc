"""What a fill costs: CPU-seconds a GiB and peak memory of the process that fetches, beside curl.

`python -m bench.fill` starts a TLS origin (bench/origin.py) and then, in turn and some rounds of
each: `curl -o` of its blob, and a real Cache that fills the same blob in a process of its own. The
box's figure includes TLS, sha256, the checksums, the writes and the syncs, and no serving; curl's
only TLS and the writes. Medians, for neighbours on the machine disturb both. The files lie in a new
directory under `--directory`, which should be on a disk. Before each a scratch file of the blob's
size is written and removed: in a virtual machine the first touch of a page costs more than all the
rest, and would be counted for whom it happens to meet.
"""

import argparse
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

GIB = 2**30
REPOSITORY = Repository("library", "bench")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one download took."""

    cpu_seconds: float
    system_seconds: float  # Of those, in the kernel.
    elapsed_seconds: float
    rss_kib: int


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fill", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="the blob's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--filling", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.filling:
        print(json.dumps(asdict(uvloop.run(_fill(**json.loads(options.filling))))))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        with _origin(directory, options.mib * 2**20) as origin:
            _measure(directory, origin, options)


@contextlib.contextmanager
def _origin(directory: Path, size_bytes: int) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.origin", str(directory), str(size_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline()) | {"size_bytes": size_bytes}
        process.communicate()


def _measure(directory: Path, origin: dict[str, Any], options: argparse.Namespace) -> None:
    costs: dict[str, list[Cost]] = {}
    for _ in range(options.rounds):
        costs.setdefault("curl -o", []).append(_curl(directory / "curled", origin))
        for connections in options.connections:
            cost = _spawn_fill(directory / "state", origin, connections)
            costs.setdefault(f"fill, connections={connections}", []).append(cost)
    print(f"{'':24}{'CPU-s/GiB':>10}{'(least)':>10}{'in kernel':>10}{'MiB/s':>8}{'peak MiB':>10}")
    for who, each in costs.items():
        gib = origin["size_bytes"] / GIB
        cpu = [cost.cpu_seconds / gib for cost in each]
        system = statistics.median(cost.system_seconds / gib for cost in each)
        rate = statistics.median(gib * 1024 / cost.elapsed_seconds for cost in each)
        rss = max(cost.rss_kib for cost in each) / 1024
        print(
            f"{who:24}{statistics.median(cpu):10.2f}{min(cpu):10.2f}{system:10.2f}{rate:8.0f}{rss:10.0f}"
        )


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
    command = [sys.executable, "-m", "bench.fill", "--filling", wanted]
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


if __name__ == "__main__":
    main()
