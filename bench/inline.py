"""What a held blob costs over TLS: CPU-seconds a GiB of the server, beside nginx and plain http.

`python -m bench.inline` starts the real box, and nginx where there is one (that which
`scripts/debian-programs` unpacks will do), and fetches the same file from each with curl: whole,
and as 16 ranges at once. The figure is the server's user and system time; the rate is that of a
machine which curl shares, and says little where it has few cores. Medians of some rounds, in turn,
for neighbours disturb all. Last, the box's memory while `--slow` clients take nothing of the blob
and 16 ranges flow.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.servers import NAME, Server, find_nginx, hold_blob, run_box, run_nginx
from bench.slow import stalled

GIB = 2**30
RANGES = 16


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.inline", description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="the blob's size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", type=int, default=64, help="clients that take nothing")
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as name, ExitStack() as stack:
        directory, size_bytes = Path(name), options.mib * 2**20
        blob, digest = hold_blob(directory, size_bytes)
        box = stack.enter_context(run_box(directory, digest))
        servers = {"box": box}
        if program := find_nginx():
            servers["nginx"] = stack.enter_context(run_nginx(directory, blob, program))
        _print_costs(servers, size_bytes, options.rounds)
        with stalled(box, options.slow):
            _fetch(box, "tls", RANGES, size_bytes)
            print(
                f"{options.slow} stalled and {RANGES} flowing:"
                f" {box.memory_mib():.0f} MiB, at most {box.memory_mib('VmHWM'):.0f} MiB"
            )


def _print_costs(servers: dict[str, Server], size_bytes: int, rounds: int) -> None:
    kinds = [(who, how, n) for how in ("tls", "plain") for n in (1, RANGES) for who in servers]
    costs: dict[tuple[str, str, int], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for who, how, n in kinds:
            costs[who, how, n].append(_fetch(servers[who], how, n, size_bytes))
    print(f"{'':24}{'CPU-s/GiB':>10}{'(least)':>9}{'MB/s':>7}")
    for (who, how, n), each in costs.items():
        cpu = [cost * GIB / size_bytes for cost, _ in each]
        rate = statistics.median(size_bytes / elapsed / 1e6 for _, elapsed in each)
        print(f"{who:6} {how:6} n={n:<7}{statistics.median(cpu):12.2f}{min(cpu):9.2f}{rate:7.0f}")


def _fetch(server: Server, how: str, count: int, size_bytes: int) -> tuple[float, float]:
    """Fetch the blob in `count` ranges at once; the server's CPU-seconds, and the wall's."""
    url = server.urls[how]
    port = url.split("/")[2].partition(":")[2]
    common = [
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--cacert",
        str(server.ca_file),
    ]
    common += ["--resolve", f"{NAME}:{port}:127.0.0.1", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"]
    step = -(-size_bytes // count)
    cpu_began, began = server.cpu_seconds(), time.monotonic()
    clients = [
        subprocess.Popen([*common, "-o", "/dev/null", "-r", f"{start}-{start + step - 1}", url])
        for start in range(0, size_bytes, step)
    ]
    if max(client.wait() for client in clients):
        raise SystemExit(f"curl failed at {url}")
    return server.cpu_seconds() - cpu_began, time.monotonic() - began


if __name__ == "__main__":
    main()
