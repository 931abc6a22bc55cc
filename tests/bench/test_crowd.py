"""The classroom's clients pull as Ollama does, and say when a server is no use."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import pytest

from bench.crowd import Crowd, Wanted
from bench.sink import ShortBodyError

SIZE_BYTES = 100_000


class Registry(http.server.BaseHTTPRequestHandler):
    """Redirects to itself, naming no port; each of `breaks` cuts a part short."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []
    breaks: ClassVar[list[bool]] = []
    status: ClassVar[int] = 307

    def do_HEAD(self) -> None:
        self._answer(200, SIZE_BYTES)

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.asked.append(f"{self.path} {asked}")
        if "/manifests/" in self.path:
            self._answer(200, 2)
            self.wfile.write(b"{}")
        elif asked is None:
            self._answer(self.status, 0, Location="http://127.0.0.1/cdn?signed=1")
        else:
            start, stop = asked.removeprefix("bytes=").split("-")
            size_bytes = int(stop) + 1 - int(start)
            self._answer(206, size_bytes)
            if self.breaks:
                self.breaks.pop()
                size_bytes //= 2
                self.close_connection = True
            self.wfile.write(bytes(size_bytes))

    def _answer(self, status: int, size_bytes: int, **fields: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(size_bytes), **fields}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  # Its own name.
        """Say nothing."""


@contextmanager
def running(*, breaks: int = 0, status: int = 307) -> Iterator[tuple[int, list[str]]]:
    """Its port, and what it was asked."""

    class Own(Registry):
        asked: ClassVar[list[str]] = []

    Own.breaks, Own.status = [True] * breaks, status
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], Own.asked
        finally:
            server.shutdown()
            thread.join()


def wanted(port: int) -> Wanted:
    return Wanted(
        "127.0.0.1", port, "registry", "library/bench", 3, 4, "sha256:0", SIZE_BYTES, True
    )


def test_every_client_asks_for_every_part_where_it_was_sent() -> None:
    with running() as (port, asked):
        crowd = Crowd(wanted(port))
        crowd.pull()
    parts = [each for each in asked if "bytes=" in each]
    assert len(parts) == 12
    assert all(each.startswith("/cdn?signed=1 ") for each in parts)
    assert len(set(parts)) == 4
    assert min(crowd.seconds) > 0
    assert crowd.retries == 0


def test_who_follows_nothing_asks_the_registry_itself() -> None:
    with running() as (port, asked):
        Crowd(replace(wanted(port), follows=False)).pull()
    assert {each.split()[0] for each in asked if "bytes=" in each} == {
        "/v2/library/bench/blobs/sha256:0"
    }


def test_a_part_that_breaks_goes_on_where_it_broke() -> None:
    with running(breaks=1) as (port, asked):
        crowd = Crowd(wanted(port))
        crowd.pull()
    assert crowd.retries == 1
    starts = {int(each.partition("bytes=")[2].split("-")[0]) for each in asked if "bytes=" in each}
    assert len(starts) == 5


def test_a_server_that_answers_otherwise_is_a_failure() -> None:
    with running(status=200) as (port, _), pytest.raises(ShortBodyError, match="200"):
        Crowd(wanted(port)).pull()
