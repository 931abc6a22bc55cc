"""Asks for a small thing some fifty times a second, and notes how late each answer was.

Lateness counts from when a request was due, not from when it left: a probe that waits while a
server holds up one answer would miss that it holds up others too.
"""

import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from bench.servers import LOOPBACK, NAME, Server
from bench.sink import ShortBodyError, read_head

CONNECTIONS = 10


def probe(server: Server, how: str, per_second: float, is_over: Callable[[], bool]) -> list[float]:
    """Ask for the manifest on CONNECTIONS kept ones until `is_over`; milliseconds of each."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        beats = [
            pool.submit(_ask_on_one, server, how, number / per_second, per_second, is_over)
            for number in range(CONNECTIONS)
        ]
    return [each for beat in beats for each in beat.result()]


def _ask_on_one(
    server: Server, how: str, later: float, per_second: float, is_over: Callable[[], bool]
) -> list[float]:
    """The share of one connection, the first after `later` seconds."""
    url = urlsplit(server.urls[f"{how} manifest"])
    request = (
        f"GET {url.path} HTTP/1.1\r\nHost: {NAME}\r\n"
        "Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\r\n"
    ).encode()
    late_ms = []
    with _connect(server, how, url.port or 443) as sock:
        due = time.monotonic() + later
        while not is_over():
            time.sleep(max(0.0, due - time.monotonic()))
            sock.sendall(request)
            _read_answer(sock)
            late_ms.append((time.monotonic() - due) * 1000)
            due += CONNECTIONS / per_second
    return late_ms


def _connect(server: Server, how: str, port: int) -> socket.socket:
    sock = socket.create_connection((LOOPBACK, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if how == "plain":
        return sock
    context = ssl.create_default_context(cafile=str(server.ca_file))
    return context.wrap_socket(sock, server_hostname=NAME)


def _read_answer(sock: socket.socket) -> None:
    """Read one whole answer. Raises ShortBodyError."""
    head, body_bytes = read_head(sock)
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    missing_bytes = int(fields[b"content-length"]) - body_bytes
    if b" 200" not in head[:16]:
        raise ShortBodyError(head[:200].decode("latin-1"))
    while missing_bytes > 0:
        count = len(sock.recv(65536))
        if not count:
            raise ShortBodyError("the server hung up")
        missing_bytes -= count
