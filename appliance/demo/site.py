"""One HTTP server on loopback: remembers what it was asked, can go away and come back."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from appliance.demo.ledger import Asked, Ledger
from appliance.demo.urls import DEFAULT_PORTS

HTML_TYPE = "text/html; charset=utf-8"
HANDSHAKE_SECONDS = 5.0  # Going down waits for handshakes under way.
SHUTDOWN_SECONDS = 0.1  # Stalled bodies would otherwise keep the demo from ending.

type Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Site:
    """Serves `answer` under the host name `name`, over TLS where `tls` is given.

    The port stays the same from the first start on, so that going down means connections refused.
    `answer` may be replaced while it runs.
    """

    def __init__(
        self,
        name: str,
        answer: Answering,
        ledger: Ledger,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.port = port
        self.ledger = ledger
        self.answer = answer
        self._tls = tls
        self._up: tuple[web.Server, asyncio.Server] | None = None

    @property
    def authority(self) -> str:
        """The name with its port, if that is not its scheme's, as the Host field gives it."""
        scheme = "https" if self._tls else "http"
        return self.name if self.port == DEFAULT_PORTS[scheme] else f"{self.name}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.authority}"

    async def __aenter__(self) -> Self:
        await self.come_up()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.go_down()

    @property
    def is_up(self) -> bool:
        return self._up is not None

    async def come_up(self) -> None:
        """Listen; on the port of the last time, if there was one."""
        assert self._up is None, "it is up"
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        listener = await asyncio.get_running_loop().create_server(
            server,
            self.address,
            self.port,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls else None,
        )
        self._up = server, listener
        self.port = listener.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Close the listener and every connection, also those that are just being accepted."""
        if self._up is None:
            return
        (server, listener), self._up = self._up, None
        for each in listener.sockets:
            asyncio.get_running_loop().remove_reader(each.fileno())
        await asyncio.sleep(0)  # A connection accepted in the turn of close() would be forgotten.
        listener.close()
        is_closed = False
        while not is_closed:
            server.pre_shutdown()
            await server.shutdown(SHUTDOWN_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SHUTDOWN_SECONDS):
                    await listener.wait_closed()
                is_closed = True

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        body_bytes = 0
        if request.can_read_body:
            async for chunk in request.content.iter_any():
                body_bytes += len(chunk)
        fields = tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        )
        self.ledger.asked.append(
            Asked(self.name, request.method, request.raw_path, fields, body_bytes)
        )
        return await self.answer(request)


def html_page() -> web.Response:
    """What a captive portal puts in every answer's place."""
    page = "<!DOCTYPE html><title>Welcome</title><p>Please log in to use this network."
    return web.Response(body=page.encode(), headers={"Content-Type": HTML_TYPE})


def reset(request: web.BaseRequest) -> None:
    """End the connection with a TCP reset and drop what has not left yet."""
    if request.transport is None:
        return
    linger_not = struct.pack("ii", 1, 0)
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    request.transport.abort()
