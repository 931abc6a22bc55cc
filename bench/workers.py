"""Where one process of the box ends over https, and what `box.workers` adds.

`python -m bench.workers` starts the real box on a held blob with each number of workers in turn,
and asks it over TLS for 16 ranges at once (`bench.discard`), for manifests (wrk, 16 connections
kept alive), and for both at the same
time. CPU is that of the box and its workers together. Medians of some rounds, for neighbours
disturb all; the client's share of the machine is printed, for it is not the box's to use.
"""

import argparse
import contextlib
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.protocol.manifest import MANIFEST_TYPE
from bench.discard import take
from bench.machine import find_program
from bench.servers import MANIFEST_TARGET, NAME, Server, hold_blob, run_box

GIB = 2**30
RANGES = CONNECTIONS = 16
SETTLE_SECONDS = 2.0  # After a start the box checks itself, and its workers.
_RATE = re.compile(r"Requests/sec: +([0-9.]+)")
_REFUSED = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_RESOLVE = 'function wrk.resolve(_, port) wrk.addrs = wrk.lookup("127.0.0.1", port) end\n'


@dataclass(frozen=True, slots=True)
class Row:
    """What one box did. Rates are a second's."""

    blob_bytes: float
    cpu_seconds_per_gib: float
    client_cpu_seconds_per_gib: float
    requests: float
    blob_bytes_busy: float
    requests_busy: float


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--mib", type=int, default=256, help="the blob's size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    rows: dict[int, list[Row]] = {count: [] for count in options.workers}
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory, size_bytes = Path(name), options.mib * 2**20
        (directory / "resolve.lua").write_text(_RESOLVE)
        _, digest = hold_blob(directory, size_bytes)
        for _ in range(options.rounds):
            for count in options.workers:
                more = {"BOX_WORKERS": str(count)}
                with run_box(directory, digest, more) as box:
                    time.sleep(SETTLE_SECONDS)
                    rows[count].append(_measure(box, directory, size_bytes, options.seconds))
                time.sleep(SETTLE_SECONDS)  # It lets go of its store.
    _print(rows)


def _measure(box: Server, directory: Path, size_bytes: int, seconds: float) -> Row:
    began = box.cpu_seconds()
    alone = take(box.urls["tls"], NAME, box.ca_file, size_bytes, RANGES, seconds)
    cpu_seconds = box.cpu_seconds() - began
    gib = alone.size_bytes / GIB
    with _asking(box, directory, seconds) as asking:
        requests = _rate(asking)
    with _asking(box, directory, seconds) as asking:
        busy = take(box.urls["tls"], NAME, box.ca_file, size_bytes, RANGES, seconds)
        requests_busy = _rate(asking)
    return Row(
        alone.size_bytes / seconds,
        cpu_seconds / gib,
        alone.cpu_seconds / gib,
        requests,
        busy.size_bytes / seconds,
        requests_busy,
    )


@contextlib.contextmanager
def _asking(box: Server, directory: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    port = box.urls["tls"].split("/")[2].partition(":")[2]
    command = [find_program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s"]
    command += ["-s", str(directory / "resolve.lua"), "-H", f"Accept: {MANIFEST_TYPE}"]
    command += [
        "-H",
        "User-Agent: curl/8",
        f"https://{NAME}:{port}{MANIFEST_TARGET}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process


def _rate(asking: subprocess.Popen[str]) -> float:
    told, _ = asking.communicate()
    found = _RATE.search(told)
    if found is None or _REFUSED.search(told):
        raise SystemExit(f"wrk was not answered: {told}")
    return float(found[1])


def _print(rows: dict[int, list[Row]]) -> None:
    heads = ("workers", "MB/s", "CPU-s/GiB", "client's", "req/s", "both: MB/s", "req/s")
    print("".join(f"{head:>12}" for head in heads))
    for count, each in rows.items():
        figures = (
            _median([row.blob_bytes / 1e6 for row in each], 0),
            _median([row.cpu_seconds_per_gib for row in each], 2),
            _median([row.client_cpu_seconds_per_gib for row in each], 2),
            _median([row.requests for row in each], 0),
            _median([row.blob_bytes_busy / 1e6 for row in each], 0),
            _median([row.requests_busy for row in each], 0),
        )
        print(f"{count:>12}" + "".join(f"{figure:>12}" for figure in figures))


def _median(figures: list[float], digits: int) -> str:
    return f"{statistics.median(figures):.{digits}f}"


if __name__ == "__main__":
    main()
