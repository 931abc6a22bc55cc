"""Clients that ask for a whole blob over TLS and then take nothing of it."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.servers import Server


@contextlib.contextmanager
def stalled(server: Server, count: int) -> Iterator[None]:
    """As long as it is entered, `count` such clients of `server`."""
    url = urlsplit(server.urls["tls"])
    context = ssl.create_default_context(cafile=str(server.ca_file))
    request = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            raw = socket.create_connection(("127.0.0.1", url.port or 443))
            client = stack.enter_context(context.wrap_socket(raw, server_hostname=url.hostname))
            client.sendall(request)
            client.recv(1)  # It has begun to answer.
        yield
