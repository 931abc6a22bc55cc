"""Clients that ask for a whole blob and then take nothing of it."""

import contextlib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from bench.servers import Server


@contextlib.contextmanager
def stalled(server: Server, count: int, how: str = "tls") -> Iterator[None]:
    """As long as it is entered, `count` such clients of `server`; `how` is `tls` or `plain`."""
    url = urlsplit(server.urls[how])
    context = ssl.create_default_context(cafile=str(server.ca_file))
    request = f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", url.port or 443))
            if how == "tls":
                client = context.wrap_socket(client, server_hostname=url.hostname)
            stack.enter_context(client)
            client.sendall(request)
            client.recv(1)  # It has begun to answer.
        yield
