"""An aiohttp server that bounds what aiohttp does not: how long and how large a head may be.

A connection is closed when its first head, or the rest of one that has begun, takes longer than
HEAD_SECONDS_MAX, and when more than HEAD_SIZE_BYTES_MAX of an unfinished one has come. Idle
connections are aiohttp's own `keepalive_timeout`. Strangers are answered without a look at what
they sent. The few names of aiohttp that are used here
without being documented are used in this file only.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.accepting import Acceptor
from appliance.policy.turnstile import Turnstile
from appliance.protocol.errors import Denied, RequestInvalid, Verdict
from appliance.protocol.heads import HEAD_SECONDS_MAX, HEAD_SIZE_BYTES_MAX, IDLE_SECONDS_MAX

_STRANGERS = ""  # All of them count as one address.

DRAIN_SECONDS = 5.0  # A body cut after that is asked for again, from where it was cut.


@dataclass(frozen=True, slots=True)
class Admission:
    """Whose connections are taken, by address, and how many."""

    is_allowed: Callable[[str], bool]
    turnstile: Turnstile


class BoundedHandler(web.RequestHandler):
    """One connection, with a deadline for each head."""

    __slots__ = ("_admission", "_deadline", "_head_bytes", "_is_counted", "_place")

    def __init__(self, manager: web.Server, admission: Admission, **options: Any) -> None:
        super().__init__(manager, **options)
        self._admission = admission
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._place = _STRANGERS
        self._is_counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._arm()  # First: a rule that cannot be told leaves a stranger, and a deadline.
        peer = transport.get_extra_info("peername")
        if peer and self._admission.is_allowed(peer[0]):
            self._place = peer[0]
        self._is_counted = self._admission.turnstile.enter(self._place)
        if not self._is_counted:
            self._abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._disarm()
        if self._is_counted:
            self._is_counted = False
            self._admission.turnstile.leave(self._place)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._place is _STRANGERS:
            self._turn_away()
            return
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

    def _turn_away(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            denied = Denied("this box serves its own network: see access.allow")
            self.transport.write(_format_refusal(denied))
            self.transport.close()

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


def _format_refusal(verdict: Verdict) -> bytes:
    body = verdict.body()
    fields = verdict.fields() | {"Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    status = HTTPStatus(verdict.status)
    return f"HTTP/1.1 {status} {status.phrase}\r\n{lines}\r\n".encode() + body


class BoundedServer(web.Server):
    """Makes a BoundedHandler for each connection."""

    def __init__(self, admission: Admission, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._admission = admission

    def __call__(self) -> BoundedHandler:
        return BoundedHandler(self, self._admission, loop=self._loop, **self._kwargs)


class BoundedRunner(web.AppRunner):
    """Runs an application on a BoundedServer."""

    def __init__(self, app: web.Application, admission: Admission) -> None:
        self._admission = admission
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS_MAX,
            shutdown_timeout=DRAIN_SECONDS,
            auto_decompress=False,  # Nobody packs a wish; what is wrongly packed would be a fault.
        )

    async def _make_server(self) -> BoundedServer:
        made = await super()._make_server()
        return BoundedServer(
            self._admission,
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class Site:
    """An application on sockets that already listen. Use with `async with`."""

    def __init__(
        self, app: web.Application, sockets: Sequence[socket.socket], admission: Admission
    ) -> None:
        """Take over `sockets`."""
        self._runner = BoundedRunner(app, admission)
        self._sockets = sockets

    async def __aenter__(self) -> "Site":
        await self._runner.setup()
        assert self._runner.server is not None, "it is set up"
        self._acceptor = Acceptor(self._sockets, self._runner.server)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._acceptor.close()
        await self._runner.cleanup()

    async def take(self, accepted: socket.socket, head: bytes) -> None:
        """Take over a connection that another door accepted, and the head that it has read."""
        assert self._runner.server is not None, "it is entered"
        loop = asyncio.get_running_loop()
        _, handler = await loop.connect_accepted_socket(self._runner.server, accepted)
        handler.data_received(head)
