"""A client that takes a blob's bytes off its socket and throws them away unseen.

It asks by TLS as any client does, and then has the kernel drop what comes (MSG_TRUNC), records and
all: no copy, no decryption. So it costs some 0.15 CPU-seconds a GiB, and what is measured is the
server. What comes is not checked; the tests of the box do that.
"""

import ctypes
import multiprocessing
import resource
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

CALL_BYTES_MAX = 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Taken:
    """What some connections took together."""

    size_bytes: int
    elapsed_seconds: float
    cpu_seconds: float  # The client's own.


def take(url: str, name: str, ca_file: Path, size_bytes: int, count: int, seconds: float) -> Taken:
    """Ask for `count` ranges of a blob at once, each by a process, again and again for a while.

    `url` is https on loopback; `name` is whom its certificate is for.
    """
    step = size_bytes // count
    until = time.monotonic() + seconds
    jobs = [(url, name, ca_file, start * step, step, until) for start in range(count)]
    with multiprocessing.get_context("fork").Pool(count) as pool:
        done = pool.starmap(_take_on, jobs, chunksize=1)
    return Taken(sum(each for each, _ in done), seconds, sum(cpu for _, cpu in done))


def _take_on(
    url: str, name: str, ca_file: Path, start: int, size_bytes: int, until: float
) -> tuple[int, float]:
    taken = 0
    while time.monotonic() < until:
        taken += _take_once(url, name, ca_file, (start, size_bytes), until)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return taken, usage.ru_utime + usage.ru_stime


def _take_once(url: str, name: str, ca_file: Path, span: tuple[int, int], until: float) -> int:
    parts = urlsplit(url)
    start, size_bytes = span
    asked = (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Range: bytes={start}-{start + size_bytes - 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", parts.port or 443)) as sock:
        _ask(sock, name, ca_file, asked.encode())
        taken = 0
        while taken < size_bytes and time.monotonic() < until:
            dropped = _libc.recv(sock.fileno(), None, CALL_BYTES_MAX, socket.MSG_TRUNC)
            if dropped <= 0:
                raise SystemExit(f"{url} was cut after {taken} bytes")
            taken += dropped
    return taken


def _ask(sock: socket.socket, name: str, ca_file: Path, asked: bytes) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=name)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(64 * 1024))
    session.write(asked)
    sock.sendall(outgoing.read())
