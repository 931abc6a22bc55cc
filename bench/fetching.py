"""Fetching a blob from a server under measurement, and what that cost on both sides.

In the clear the client is bench/sink.py, one process that copies nothing; over TLS it is curl, a
process for each range, because somebody has to decrypt, or bench/sink.py where the client must
leave the machine to others. Each tells its own processor time, so that a table can say whether the
client was the bottleneck: it was if it kept the cores busy.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

from bench.machine import find_program
from bench.servers import LOOPBACK, NAME, Server

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Fetch:
    """One fetch of a whole blob."""

    size_bytes: int
    seconds: float
    server_cpu_seconds: float
    client_cpu_seconds: float

    @property
    def server_cost(self) -> float:
        """CPU-seconds a GiB."""
        return self.server_cpu_seconds * GIB / self.size_bytes

    @property
    def client_cost(self) -> float:
        return self.client_cpu_seconds * GIB / self.size_bytes

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.size_bytes / self.seconds / 1e6

    @property
    def client_cores(self) -> float:
        """How many cores the client kept busy."""
        return self.client_cpu_seconds / self.seconds

    @property
    def server_cores(self) -> float:
        return self.server_cpu_seconds / self.seconds


def cut(size_bytes: int, count: int) -> list[tuple[int, int]]:
    """The blob in `count` spans of equal size, but for the last."""
    step = -(-size_bytes // count)
    return [(start, min(start + step, size_bytes)) for start in range(0, size_bytes, step)]


def fetch(
    server: Server, how: str, count: int, size_bytes: int, *, by_one_thread: bool = False
) -> Fetch:
    """Fetch the blob of `size_bytes` in `count` ranges at once; `how` is `tls` or `plain`.

    Over TLS by a curl for each, or `by_one_thread` for all.
    """
    before = server.cpu_seconds()
    spans = cut(size_bytes, count)
    by_curl = how == "tls" and not by_one_thread
    seconds, client = (_by_curl if by_curl else _by_sink)(server.urls[how], server, spans)
    return Fetch(size_bytes, seconds, server.cpu_seconds() - before, client)


def _by_sink(url: str, server: Server, spans: list[tuple[int, int]]) -> tuple[float, float]:
    split = urlsplit(url)
    is_secure = split.scheme == "https"
    asked = {
        "host": LOOPBACK,
        "port": split.port,
        "ca_file": str(server.ca_file) if is_secure else "",
        "name": NAME if is_secure else "",
        "spans": spans,
        "target": f"{split.path}?{split.query}" if split.query else split.path,
    }
    command = [sys.executable, "-m", "bench.sink", json.dumps(asked)]
    done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return done["seconds"], done["cpu_seconds"]


def curl_command(url: str, server: Server) -> list[str]:
    """Curl of a URL whose name is really on loopback, with the cipher that Go's client prefers."""
    port = urlsplit(url).port
    return [
        *(find_program("curl"), "--silent", "--show-error", "--fail", "--noproxy", "*"),
        *("--cacert", str(server.ca_file), "--resolve", f"{NAME}:{port}:{LOOPBACK}"),
        *("--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "-o", "/dev/null", url),
    ]


def _by_curl(url: str, server: Server, spans: list[tuple[int, int]]) -> tuple[float, float]:
    command, began = curl_command(url, server), time.monotonic()
    clients = [subprocess.Popen([*command, "-r", f"{start}-{stop - 1}"]) for start, stop in spans]
    spent = 0.0
    for client in clients:
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
        spent += usage.ru_utime + usage.ru_stime
    if any(client.returncode for client in clients):
        raise SystemExit(f"curl failed at {url}")
    return time.monotonic() - began, spent


def middle(fetches: list[Fetch], name: str) -> float:
    """The median of one of a Fetch's numbers."""
    return float(median(getattr(each, name) for each in fetches))
