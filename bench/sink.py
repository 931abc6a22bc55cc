"""A client that takes spans of a blob and looks at none of it: one thread, however many spans.

`python -m bench.sink JSON` fetches `spans` of `target` at `host`:`port` at once, and prints how
many bytes came, in which time, and what that cost itself. With MSG_TRUNC the kernel drops a
socket's bytes without copying them, so this one thread takes several gigabytes a second; whether it
was the bottleneck shows in its own processor time beside the wall's. With a `ca_file` it speaks TLS
to `name`, has to decrypt, and takes one core's worth.
"""

import json
import resource
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

TAKEN_AT_ONCE_BYTES = 4 * 2**20
_HEAD_SIZE_BYTES_MAX = 16 * 1024


class ShortBodyError(Exception):
    """A server gave something else than the span it was asked for."""


@dataclass(slots=True)
class Stream:
    """One request's socket, and what is still to come."""

    sock: socket.socket
    missing_bytes: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a blob is. `ca_file` and `name` are for TLS, and empty in the clear."""

    host: str
    port: int
    target: str
    ca_file: str = ""
    name: str = ""

    def connect(self) -> socket.socket:
        sock = socket.create_connection((self.host, self.port))
        if not self.ca_file:
            return sock
        context = ssl.create_default_context(cafile=self.ca_file)
        return context.wrap_socket(sock, server_hostname=self.name)


def open_stream(place: Place, span: tuple[int, int]) -> Stream:
    """Ask for the bytes from the first up to, not including, the second of `span`."""
    sock = place.connect()
    host = place.name or f"{place.host}:{place.port}"
    wanted = f"Host: {host}\r\nRange: bytes={span[0]}-{span[1] - 1}"
    sock.sendall(f"GET {place.target} HTTP/1.1\r\n{wanted}\r\n\r\n".encode())
    return Stream(sock, span[1] - span[0])


def read_head(sock: socket.socket) -> tuple[bytes, int]:
    """A response's head, and how much of the body came with it. Raises ShortBodyError."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        if not piece or len(head) > _HEAD_SIZE_BYTES_MAX:
            raise ShortBodyError(f"no head: {head[:200]!r}")
        head += piece
    head, _, body = head.partition(b"\r\n\r\n")
    return head, len(body)


def check_partial(head: bytes) -> None:
    """Raise ShortBodyError for another status than 206."""
    if b" 206" not in head.partition(b"\r\n")[0]:
        raise ShortBodyError(head[:200].decode("latin-1"))


def drop(sock: socket.socket, buffer: bytearray) -> int:
    """Take what has come, unseen; how much it was. Over TLS that is a record, and what waits."""
    if not isinstance(sock, ssl.SSLSocket):
        return sock.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
    count = sock.recv_into(buffer)
    while count and sock.pending():
        count += sock.recv_into(buffer)
    return count


def fetch_all(place: Place, spans: Sequence[tuple[int, int]]) -> int:
    """Take all spans at once; returns the bytes that came. Raises ShortBodyError."""
    buffer, begun = bytearray(TAKEN_AT_ONCE_BYTES), set[int]()
    with selectors.DefaultSelector() as selector, ExitStack() as stack:
        for span in spans:
            stream = open_stream(place, span)
            stack.callback(stream.sock.close)
            selector.register(stream.sock, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                is_first = key.fd not in begun
                begun.add(key.fd)
                _take(key.data, buffer, is_first=is_first)
                if not key.data.missing_bytes:
                    selector.unregister(key.data.sock)
    return sum(stop - start for start, stop in spans)


def _take(stream: Stream, buffer: bytearray, *, is_first: bool) -> None:
    if is_first:
        head, count = read_head(stream.sock)
        check_partial(head)
    else:
        count = drop(stream.sock, buffer)
        if not count:
            raise ShortBodyError(f"{stream.missing_bytes} bytes are missing")
    stream.missing_bytes -= count


def main() -> None:
    """Fetch, and say what it took."""
    asked = json.loads(sys.argv[1])
    spans = [(start, stop) for start, stop in asked["spans"]]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    place = Place(**{name: each for name, each in asked.items() if name != "spans"})
    size_bytes = fetch_all(place, spans)
    elapsed_seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"size_bytes": size_bytes, "seconds": elapsed_seconds, "cpu_seconds": spent}))


if __name__ == "__main__":
    main()
