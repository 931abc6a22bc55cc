"""A blob on a TLS server that costs as little as Python's own TLS allows, in a process of its own.

`python -m bench.origin DIRECTORY SIZE_BYTES` writes its CA into DIRECTORY, prints one line of JSON
(port, digest, ca_file) and serves until its standard input ends. Every path answers GET with the
blob or the range of it that was asked for. The blob is one random buffer again and again, so that
neither a disk nor a copy stands between it and the socket.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import ssl
import sys
import threading
from pathlib import Path

from appliance.demo.credentials import DemoAuthority

NAME = "origin.bench"
UNIT_SIZE_BYTES = 1_048_583  # A prime: no two 16 MiB spans of the blob are alike.
SEND_SIZE_BYTES = 256 * 1024
_HEAD_SIZE_BYTES_MAX = 64 * 1024
_RANGE = re.compile(rb"\r\nrange: bytes=(\d+)-(\d*)\r\n", re.IGNORECASE)


class Blob:
    """`size_bytes` of a random unit repeated."""

    def __init__(self, size_bytes: int) -> None:
        unit = os.urandom(UNIT_SIZE_BYTES)
        self.size_bytes = size_bytes
        self._view = memoryview(unit + unit[:SEND_SIZE_BYTES])

    def view(self, start: int, stop: int) -> memoryview:
        """At most SEND_SIZE_BYTES from `start` on."""
        offset = start % UNIT_SIZE_BYTES
        return self._view[offset : offset + min(SEND_SIZE_BYTES, stop - start)]

    def digest(self) -> str:
        """The sha256 of all of it, in hexadecimal. Takes most of a second a GiB."""
        sha256, position = hashlib.sha256(), 0
        while position < self.size_bytes:
            piece = self.view(position, self.size_bytes)
            sha256.update(piece)
            position += len(piece)
        return sha256.hexdigest()


def serve(listener: socket.socket, context: ssl.SSLContext, blob: Blob) -> None:
    """Accept for ever, a thread each."""
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_converse, args=(sock, context, blob), daemon=True).start()


def _converse(sock: socket.socket, context: ssl.SSLContext, blob: Blob) -> None:
    with contextlib.suppress(OSError), sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with context.wrap_socket(sock, server_side=True) as secured:
            while head := _read_head(secured):
                _answer(secured, head, blob)


def _read_head(secured: ssl.SSLSocket) -> bytes:
    """A request's head; nothing where the client has gone."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _HEAD_SIZE_BYTES_MAX:
        piece = secured.recv(_HEAD_SIZE_BYTES_MAX)
        if not piece:
            return b""
        head += piece
    return head


def _answer(secured: ssl.SSLSocket, head: bytes, blob: Blob) -> None:
    asked = _RANGE.search(head)
    start, stop, lines = 0, blob.size_bytes, "HTTP/1.1 200 OK\r\n"
    if asked:
        start = int(asked[1])
        stop = min(stop, int(asked[2]) + 1) if asked[2] else stop
        named = f"bytes {start}-{stop - 1}/{blob.size_bytes}"
        lines = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {named}\r\n"
    secured.sendall(f"{lines}Content-Length: {stop - start}\r\n\r\n".encode())
    while start < stop:
        piece = blob.view(start, stop)
        secured.sendall(piece)
        start += len(piece)


def main() -> None:
    """Serve until standard input ends."""
    directory, size_bytes = Path(sys.argv[1]), int(sys.argv[2])
    authority, blob = DemoAuthority(directory), Blob(size_bytes)
    context = authority.server_context([NAME])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    threading.Thread(target=serve, args=(listener, context, blob), daemon=True).start()
    told = {
        "port": listener.getsockname()[1],
        "digest": blob.digest(),
        "ca_file": str(authority.ca_file),
    }
    print(json.dumps(told), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
