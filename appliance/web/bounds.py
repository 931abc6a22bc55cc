"""An aiohttp server that bounds what aiohttp does not: how long and how large a head may be.

A connection is closed when its first head, or the rest of one that has begun, takes longer than
HEAD_SECONDS_MAX, and when more than HEAD_SIZE_BYTES_MAX of an unfinished one has come. Idle
connections are aiohttp's own `keepalive_timeout`. The few names of aiohttp that are used here
without being documented are used in this file only.
"""

import asyncio
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.protocol.errors import RequestInvalid
from appliance.protocol.heads import HEAD_SECONDS_MAX, HEAD_SIZE_BYTES_MAX, IDLE_SECONDS_MAX

BACKLOG = 1024  # A classroom that starts at once.
DRAIN_SECONDS = 5.0  # A body cut after that is asked for again, from where it was cut.


class BoundedHandler(web.RequestHandler):
    """One connection, with a deadline for each head."""

    __slots__ = ("_deadline", "_head_bytes")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._current_request is not None or self._messages:
            self._disarm()
            return
        if self._deadline is None:
            self._arm()
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_SIZE_BYTES_MAX:
            self._abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request like all else that is refused, and without a traceback.

        A client that is gone, or that must be let go in the middle of a body, gets no answer.
        """
        if isinstance(exc, ConnectionError):
            raise exc  # Its one catcher closes the connection.
        if status != HTTPStatus.BAD_REQUEST:
            return super().handle_error(request, status, exc, message)
        verdict = RequestInvalid("this cannot be read as an HTTP request")
        response = web.Response(status=status, body=verdict.body(), headers=verdict.fields())
        response.force_close()
        return response

    def _arm(self) -> None:
        self._head_bytes = 0
        self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS_MAX, self._abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class BoundedServer(web.Server):
    """Makes a BoundedHandler for each connection."""

    def __call__(self) -> BoundedHandler:
        return BoundedHandler(self, loop=self._loop, **self._kwargs)


class BoundedRunner(web.AppRunner):
    """Runs an application on a BoundedServer."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS_MAX,
            shutdown_timeout=DRAIN_SECONDS,
        )

    async def _make_server(self) -> BoundedServer:
        made = await super()._make_server()
        return BoundedServer(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class Site:
    """An application on sockets that already listen. Use with `async with`."""

    def __init__(self, app: web.Application, sockets: Sequence[socket.socket]) -> None:
        """Take over `sockets`."""
        self._runner = BoundedRunner(app)
        self._sockets = sockets

    async def __aenter__(self) -> "Site":
        await self._runner.setup()
        for each in self._sockets:
            await web.SockSite(self._runner, each, backlog=BACKLOG).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def take(self, accepted: socket.socket, head: bytes) -> None:
        """Take over a connection that another door accepted, and the head that it has read."""
        assert self._runner.server is not None, "it is entered"
        loop = asyncio.get_running_loop()
        _, handler = await loop.connect_accepted_socket(self._runner.server, accepted)
        handler.data_received(head)
