"""P4: small answers, alone and while 16 ranges take all that the machine has.

Alone: wrk with 16 kept connections. Beside ranges: 50 requests a second on ten connections, while
the blob is fetched over and over and its pages are evicted before each time; nginx, with one
worker, serves the same ranges and a file of the manifest's size. All ranges are taken by one
thread, for a client of flesh has a machine of its own: sixteen processes that decrypt on two cores
would measure how the system shares them out.
"""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.fetching import fetch
from bench.figures import percentile
from bench.machine import find_program
from bench.part import Setting
from bench.probe import probe
from bench.results import Result, Section, Table, bound
from bench.servers import LOOPBACK, NAME, Server, evict_pages, hold_blob, run_box, run_nginx

CONNECTIONS, RANGES, PER_SECOND = 16, 16, 50
RATE_GOAL, LATE_GOAL_MS = 2000, 30
HOWS = ("tls", "plain")

# wrk takes the TLS name from the URL and would look it up; here that name is on loopback.
SCRIPT = f"""
wrk.headers["Host"] = "{NAME}"
wrk.headers["Accept"] = "application/vnd.docker.distribution.manifest.v2+json"
function wrk.resolve(host, service) wrk.addrs = wrk.lookup("{LOOPBACK}", service) end
"""
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P99 = re.compile(r"99%\s+([\d.]+)(us|ms|s)")
_COUNT = re.compile(r"(\d+) requests in")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Burst:
    """What wrk got of a server in some seconds."""

    rate: float
    p99_ms: float
    cpu_us: float  # Of the server, a request.

    @property
    def rate_a_core(self) -> float:
        """Requests for one CPU-second of the server."""
        return 1e6 / self.cpu_us


def measure(setting: Setting) -> Section:
    """Both doors of the box, and nginx."""
    size_bytes = setting.choose(2048, 512) * 2**20
    room = setting.room("P4")
    blob, digest = hold_blob(room, size_bytes)
    (room / "wrk.lua").write_text(SCRIPT)
    with (
        run_box(room, digest) as box,
        run_nginx(room, blob, find_program("nginx")) as nginx,
    ):
        servers = {"box": box, "nginx": nginx}
        alone = _measure_alone(servers, room / "wrk.lua", setting)
        beside = _measure_beside(servers, blob, size_bytes, setting)
    return Section(
        [*_judge_alone(alone), *_judge_beside(beside)], [_table_alone(alone), _table_beside(beside)]
    )


type _Key = tuple[str, str]
"""The server and how it is asked."""


def _measure_alone(
    servers: dict[str, Server], script: Path, setting: Setting
) -> dict[_Key, list[Burst]]:
    bursts: dict[_Key, list[Burst]] = {(who, how): [] for how in HOWS for who in servers}
    for _ in range(setting.rounds):
        for who, how in bursts:
            bursts[who, how].append(burst(servers[who], how, script, setting.choose(5, 1)))
    return bursts


def burst(server: Server, how: str, script: Path, seconds: int) -> Burst:
    """Ask as fast as `server` answers. Ends the bench where it answers other than 2xx or 3xx."""
    before = server.cpu_seconds()
    command = [
        *(find_program("wrk"), "--threads", "1", "--connections", str(CONNECTIONS)),
        *("--duration", f"{seconds}s", "--latency", "--script", str(script)),
        server.urls[f"{how} manifest"],
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = server.cpu_seconds() - before
    rate, p99, count = _RATE.search(said), _P99.search(said), _COUNT.search(said)
    if not (rate and p99 and count and int(count[1])) or "Non-2xx" in said:
        raise SystemExit(f"wrk at {urlsplit(command[-1]).netloc}: {said}")
    return Burst(float(rate[1]), float(p99[1]) * _MS[p99[2]], spent * 1e6 / int(count[1]))


def _measure_beside(
    servers: dict[str, Server], blob: Path, size_bytes: int, setting: Setting
) -> dict[_Key, tuple[list[float], list[float]]]:
    """Milliseconds of all answers, and MB/s of each fetch beside them."""
    found: dict[_Key, tuple[list[float], list[float]]] = {}
    passes = setting.choose(3, 2)
    for _ in range(setting.rounds):
        for how in HOWS:
            for who, server in servers.items():
                late_ms, rates = found.setdefault((who, how), ([], []))
                with _saturating(server, how, blob, size_bytes, passes, rates) as is_over:
                    late_ms += probe(server, how, PER_SECOND, is_over.is_set)
    return found


@contextmanager
def _saturating(
    server: Server, how: str, blob: Path, size_bytes: int, passes: int, rates: list[float]
) -> Iterator[threading.Event]:
    """Fetch with RANGES at once, again and again from a cold disk; the event says it is over."""
    is_over = threading.Event()

    def load() -> None:
        try:
            for _ in range(passes):
                evict_pages(blob)
                rates.append(fetch(server, how, RANGES, size_bytes, by_one_thread=True).rate)
        finally:
            is_over.set()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield is_over
    finally:
        thread.join()


def _judge_alone(alone: dict[_Key, list[Burst]]) -> Iterator[Result]:
    for how in HOWS:
        ours, theirs = (median(one.rate for one in alone[who, how]) for who in ("box", "nginx"))
        what = f"manifest hits a second, {how}"
        yield bound(f"P4.{how}.rate", what, ours, at_least=RATE_GOAL, theirs=theirs)


def _judge_beside(beside: dict[_Key, tuple[list[float], list[float]]]) -> Iterator[Result]:
    for how in HOWS:
        ours, theirs = (percentile(beside[who, how][0], 0.99) for who in ("box", "nginx"))
        what = f"p99, ms, beside {RANGES} ranges of a cold disk, {how}"
        yield bound(f"P4.{how}.p99", what, ours, at_most=LATE_GOAL_MS, theirs=theirs)


def _table_alone(alone: dict[_Key, list[Burst]]) -> Table:
    names = ("rate", "rate_a_core", "cpu_us", "p99_ms")
    rows: list[tuple[str | float, ...]] = [
        (
            f"{who}, {how}",
            *(float(median(getattr(one, name) for one in each)) for name in names),
        )
        for (who, how), each in alone.items()
    ]
    return Table(("alone", "hits a second", "a CPU-second", "CPU µs a hit", "p99, ms"), rows)


def _table_beside(beside: dict[_Key, tuple[list[float], list[float]]]) -> Table:
    rows: list[tuple[str | float, ...]] = [
        (
            f"{who}, {how}",
            *(percentile(late_ms, share) for share in (0.5, 0.9, 0.99, 1.0)),
            median(rates),
            len(late_ms),
        )
        for (who, how), (late_ms, rates) in beside.items()
    ]
    headings = ("beside ranges", "p50, ms", "p90", "p99", "worst", "ranges' MB/s", "requests")
    return Table(headings, rows)
