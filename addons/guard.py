"""mitmproxy's HTTP/1 server with bounds: the fence around the internals that this takes.

mitmproxy reads heads of any size for as long as they take, and buffers what a client sends while it
waits for an answer. Here a head has HEAD_SIZE_BYTES_MAX and HEAD_SECONDS_MAX, and so has what a
client sends before its turn. Everything private of mitmproxy that this needs is named here and
looked for at start by `check_internals`.
"""

from typing import Any

from h11._receivebuffer import ReceiveBuffer
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_error_response

from appliance.protocol.heads import HEAD_SECONDS_MAX, HEAD_SIZE_BYTES_MAX


class MitmproxyChangedError(Exception):
    """This mitmproxy lacks something that the box relies on."""

    hint = "install the versions of requirements.lock: make run does"


def check_internals() -> None:
    """Raise MitmproxyChangedError unless the private names used here are where they were."""
    wanted = (
        *((Http1Server, name) for name in ("read_headers", "wait", "done", "start")),
        (HttpLayer, "_handle_event"),
    )
    for owner, name in wanted:
        if not callable(getattr(owner, name, None)):
            raise MitmproxyChangedError(f"mitmproxy's {owner.__name__} has no {name} any more")


class BoundedHttp1Server(Http1Server):
    """One client connection; closes it when a head is too large or too slow."""

    _deadline: commands.RequestWakeup | None = None

    def _handle_event(self, event: events.Event) -> Any:
        if isinstance(event, events.Wakeup):
            if event.command is self._deadline:
                yield from self._refuse(408, "the request's head takes too long")
            return
        yield from super()._handle_event(event)
        if isinstance(event, events.Start):
            yield from self._arm()
        elif isinstance(event, events.DataReceived):
            yield from self._bound()

    def _bound(self) -> Any:
        is_reading_head = self.state == self.read_headers
        if (is_reading_head or self.state == self.wait) and len(self.buf) > HEAD_SIZE_BYTES_MAX:
            yield from self._refuse(431, "the request's head is too large")
        elif not is_reading_head or not self.buf:
            self._deadline = None
        elif self._deadline is None:
            yield from self._arm()

    def _arm(self) -> Any:
        self._deadline = commands.RequestWakeup(HEAD_SECONDS_MAX)
        yield self._deadline

    def _refuse(self, status: int, reason: str) -> Any:
        self._deadline = None
        self.state = self.done
        self.buf = ReceiveBuffer()
        yield commands.SendData(self.conn, make_error_response(status, reason))
        yield commands.CloseConnection(self.conn)

    def done(self, event: events.ConnectionEvent) -> Any:
        self.buf = ReceiveBuffer()  # Whatever still comes of a refused connection is not kept.
        yield from super().done(event)


class BoundedHttpLayer(HttpLayer):
    """An HTTP layer whose client side is a BoundedHttp1Server."""

    def _handle_event(self, event: events.Event) -> Any:
        if isinstance(event, events.Start):
            self.connections[self.context.client] = BoundedHttp1Server(self.context.fork())
        yield from super()._handle_event(event)
