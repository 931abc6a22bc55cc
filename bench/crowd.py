"""A classroom in one process: many clients that pull one model, and look at none of its bytes.

`python -m bench.crowd JSON` prints what they saw. Each asks for the manifest, where the blob is,
and then for its parts at once, as Ollama does; where it `follows` no Location it asks for the parts
under the registry's own name, as Ollama did before 0.3.1 and as a cache that answers blobs in place
needs it. One thread opens all parts and takes all bodies, and the kernel drops them (see
bench/sink.py): a hundred clients that wrote and hashed would measure this machine. What comes
before the parts is asked on threads. A part that breaks goes on where it broke.
"""

import http.client
import json
import resource
import selectors
import socket
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bench.fetching import cut
from bench.sink import TAKEN_AT_ONCE_BYTES, ShortBodyError, check_partial, drop, read_head

USER_AGENT = "ollama/0.33.0 (amd64 linux) Go/go1.26.6"
ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
WAIT_SECONDS, TURN_SECONDS = 300.0, 0.01
SWITCH_SECONDS = 0.0005  # Else who asks waits 5 ms for the thread that takes bodies, at each call.
RETRIES_MAX = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which model, where, and by how many; `name` is the host that they ask for."""

    host: str
    port: int
    name: str
    model: str
    clients: int
    parts: int
    digest: str
    size_bytes: int
    follows: bool


@dataclass(slots=True)
class Part:
    """One client's span of the blob."""

    client: int
    place: tuple[str, int, str, str]  # Host, port, Host field, target.
    position: int
    stop: int
    heard_at: float
    sock: socket.socket | None = None
    is_first: bool = True

    def open(self) -> socket.socket:
        """Ask for what is missing of it."""
        host, port, authority, target = self.place
        self.sock = socket.create_connection((host, port), timeout=WAIT_SECONDS)
        self.is_first = True
        span = f"bytes={self.position}-{self.stop - 1}"
        fields = f"Host: {authority}\r\nUser-Agent: {USER_AGENT}\r\nRange: {span}"
        self.sock.sendall(f"GET {target} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        return self.sock


class Crowd:
    """All of them. Use once."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._fresh: deque[Part] = deque()
        self._selector = selectors.DefaultSelector()
        self._missing = [wanted.parts] * wanted.clients
        self.seconds = [0.0] * wanted.clients
        self.silence_seconds = 0.0
        self.retries = 0

    def pull(self) -> None:
        """Pull with all at once. Raises ShortBodyError, or what else a client's requests met."""
        began, buffer = time.monotonic(), bytearray(TAKEN_AT_ONCE_BYTES)
        with ThreadPoolExecutor(self._wanted.clients) as pool, self._selector:
            asking = [pool.submit(self._ask, each) for each in range(self._wanted.clients)]
            while any(self._missing):
                self._admit()
                for key, _ in self._selector.select(TURN_SECONDS):
                    self._take(key.data, buffer, began)
                failures = (each.exception() for each in asking if each.done())
                if failure := next(filter(None, failures), None):
                    raise failure

    def _ask(self, client: int) -> None:
        """All that comes before the parts; on a thread."""
        wanted, blob = self._wanted, f"/v2/{self._wanted.model}/blobs/{self._wanted.digest}"
        began = time.monotonic()
        connection = http.client.HTTPConnection(wanted.host, wanted.port, timeout=WAIT_SECONDS)
        try:
            _answer(connection, wanted, "GET", f"/v2/{wanted.model}/manifests/latest", (200,))
            place = (wanted.host, wanted.port, wanted.name, blob)
            if wanted.follows:
                _answer(connection, wanted, "HEAD", blob, (200,))
                url = urlsplit(_answer(connection, wanted, "GET", blob, (307,)) or "")
                target = f"{url.path}?{url.query}"
                place = (url.hostname or "", url.port or wanted.port, url.netloc, target)
        finally:
            connection.close()
        for start, stop in cut(wanted.size_bytes, wanted.parts):
            self._fresh.append(Part(client, place, start, stop, began))

    def _admit(self) -> None:
        while self._fresh:
            part = self._fresh.popleft()
            self._selector.register(part.open(), selectors.EVENT_READ, part)

    def _take(self, part: Part, buffer: bytearray, began: float) -> None:
        now = time.monotonic()
        self.silence_seconds = max(self.silence_seconds, now - part.heard_at)
        try:
            count = _receive(part, buffer)
        except (ShortBodyError, ConnectionError):
            self._retry(part)
            return
        part.heard_at = now
        part.position += count
        if part.position == part.stop:
            self._close(part)
            self._missing[part.client] -= 1
            self.seconds[part.client] = now - began

    def _retry(self, part: Part) -> None:
        self._close(part)
        self.retries += 1
        if self.retries > RETRIES_MAX:
            raise ShortBodyError(f"{self.retries} parts broke")
        self._fresh.append(part)

    def _close(self, part: Part) -> None:
        assert part.sock is not None, "it was open"
        self._selector.unregister(part.sock)
        part.sock.close()


def _receive(part: Part, buffer: bytearray) -> int:
    """Take what has come; 0 where it was a head alone. Raises ShortBodyError."""
    assert part.sock is not None, "it is open"
    if part.is_first:
        head, count = read_head(part.sock)
        check_partial(head)
        part.is_first = False
        return count
    count = drop(part.sock, buffer)
    if not count:
        raise ShortBodyError("the server hung up")
    return count


def _answer(
    connection: http.client.HTTPConnection,
    wanted: Wanted,
    method: str,
    target: str,
    statuses: tuple[int, ...],
) -> str | None:
    """The Location of an answer, whose body is read and left."""
    fields = {"Host": wanted.name, "User-Agent": USER_AGENT, "Accept": ACCEPT}
    connection.request(method, target, headers=fields)
    response = connection.getresponse()
    response.read()
    if response.status not in statuses:
        raise ShortBodyError(f"{method} {target}: {response.status}")
    return response.getheader("Location")


def main() -> None:
    """Pull, and say how it went."""
    sys.setswitchinterval(SWITCH_SECONDS)
    crowd = Crowd(Wanted(**json.loads(sys.argv[1])))
    crowd.pull()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seen: dict[str, Any] = {
        "seconds": crowd.seconds,
        "silence_seconds": crowd.silence_seconds,
        "retries": crowd.retries,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
