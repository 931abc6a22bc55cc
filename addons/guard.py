"""mitmproxy's TLS and HTTP/1 servers with bounds: the fence around the internals that this takes.

Theory of operation. mitmproxy reads hellos and heads of any size for as long as they take, buffers
what a client sends while it waits for an answer, and goes on after an error with the state that it
left. Here a hello has HELLO_SIZE_BYTES_MAX, a head HEAD_SIZE_BYTES_MAX and HEAD_SECONDS_MAX, and so
has what a client sends before its turn. A body whose way to the origin is not open yet stays in the
client's socket: reading is paused. An error closes the connection.

While a TLS object is lent to another thread, what comes for it is held back: see `inline`.

Everything private of mitmproxy that this needs is named here and looked for at start by
`check_internals`.
"""

import logging
import re
from typing import Any

from h11._receivebuffer import ReceiveBuffer
from mitmproxy import ctx
from mitmproxy.connection import Client, Connection
from mitmproxy.net.http.status_codes import CONTINUE
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layer import Layer
from mitmproxy.proxy.layers.http import HttpLayer
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    HttpEvent,
    RequestData,
    RequestProtocolError,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.layers.tls import ClientTLSLayer

from addons.inline import AnswerAtOnce, InlineStream, LendableConnection
from addons.internals import MitmproxyChangedError, require_methods
from addons.refusals import Refusal, reword, verdict_of
from appliance.protocol.errors import (
    FieldsTooLarge,
    RequestInvalid,
    RequestTooSlow,
    Verdict,
)
from appliance.protocol.heads import HEAD_SECONDS_MAX, HEAD_SIZE_BYTES_MAX

HELLO_SIZE_BYTES_MAX = 64 * 1024  # As much as Go takes; mitmproxy reads it anew at every packet.
_REASON_LENGTH_MAX = 200  # mitmproxy's own reasons quote whole hellos and heads.

# No head holds these; mitmproxy strips some of them off where they change what a field means.
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")

_log = logging.getLogger("https")


def check_internals() -> None:
    """Raise MitmproxyChangedError unless the private names used here are where they were."""
    require_methods(Http1Server, "read_headers", "read_body", "wait", "done", "start", "send")
    require_methods(ReceiveBuffer, "maybe_extract_lines", "_extract")
    require_methods(HttpLayer, "_handle_event", "event_to_child")
    require_methods(ClientTLSLayer, "receive_handshake_data", "_handle_event")
    require_methods(Layer, "handle_event")
    if "_paused_event_queue" not in Layer.__annotations__:
        raise MitmproxyChangedError("its Layer has no _paused_event_queue any more")


def find_streams(client: Client) -> Any:
    """The client's `reader` and `writer`, asyncio's own; None once it is gone."""
    handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
    return handler and handler.transports.get(client)


class BoundedTLSLayer(ClientTLSLayer):
    """TLS to a client, refusing a hello that is too large, and still while its object is lent."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._held: list[events.Event] = []  # One read and the end at most: see inline.

    def _handle_event(self, event: events.Event) -> Any:
        if self._is_lent() and _is_of(event, self.conn):
            self._held.append(event)
            return
        yield from super()._handle_event(event)
        while self._held and not self._is_lent():
            yield from super()._handle_event(self._held.pop(0))

    def _is_lent(self) -> bool:
        return isinstance(self.tls, LendableConnection) and self.tls.is_lent

    def receive_handshake_data(self, data: bytes) -> Any:
        size_bytes = len(self.recv_buffer) + len(data)
        if size_bytes > HELLO_SIZE_BYTES_MAX and not self.client_hello_parsed:
            return False, "the ClientHello is too large"
        is_done, reason = yield from super().receive_handshake_data(data)
        return is_done, reason and reason[:_REASON_LENGTH_MAX]


def _is_of(event: events.Event, connection: Connection) -> bool:
    return isinstance(event, events.ConnectionEvent) and event.connection is connection


class _ControlCharacterError(Exception):
    """A head holds what no head may hold."""


class _HeadBuffer(ReceiveBuffer):
    """What came of a client, giving out heads and trailers without control characters."""

    def skip_empty_lines(self) -> None:
        """Let go of those before a head (RFC 9112 §2.2): h11 takes each for a head of its own."""
        while self._data.startswith((b"\r", b"\n")):
            self._extract(1)

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """The lines of a head, or None as long as it is not whole."""
        lines: list[bytearray] | None = super().maybe_extract_lines()
        if any(_CONTROL.search(line) for line in lines or ()):
            raise _ControlCharacterError
        return lines


class BoundedHttp1Server(Http1Server):
    """One client connection; closes it when a head is too large, too slow, or ambiguous."""

    buf: _HeadBuffer
    _deadline: commands.RequestWakeup | None = None

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.buf = _HeadBuffer()

    def _handle_event(self, event: events.Event) -> Any:
        if isinstance(event, events.Wakeup):
            if event.command is self._deadline:
                yield from self._refuse(RequestTooSlow("the request's head takes too long"))
            return
        yield from super()._handle_event(event)
        if isinstance(event, events.Start):
            yield from self._arm()
        else:
            yield from self._bound()

    def _bound(self) -> Any:
        is_reading_head = self.state == self.read_headers
        if is_reading_head and len(self.buf) > HEAD_SIZE_BYTES_MAX:
            yield from self._refuse(FieldsTooLarge("the request's head is too large"))
        elif self.state == self.wait and len(self.buf) > HEAD_SIZE_BYTES_MAX:
            yield from self._hang_up("more requests at once than are taken")
        elif not is_reading_head or not self.buf:
            self._deadline = None
        elif self._deadline is None:
            yield from self._arm()

    def _arm(self) -> Any:
        self._deadline = commands.RequestWakeup(HEAD_SECONDS_MAX)
        yield self._deadline

    def _refuse(self, verdict: Verdict) -> Any:
        """Answer where no response is under way, and close."""
        self._deadline = None
        self.state = self.done
        self.buf = _HeadBuffer()
        yield Refusal(self.conn, verdict)
        yield commands.CloseConnection(self.conn)

    def _hang_up(self, reason: str) -> Any:
        """Close without a word, because a response may be under way, and end its stream."""
        self.state = self.done
        self.buf = _HeadBuffer()
        yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(
            RequestProtocolError(self.stream_id, reason, code=RequestProtocolError.code)
        )

    def send(self, event: HttpEvent) -> Any:
        for command in super().send(event):
            if isinstance(event, ResponseProtocolError):
                with_body = self.request is None or self.request.method != "HEAD"
                yield reword(command, verdict_of(event), with_body=with_body)
            elif isinstance(event, AnswerAtOnce) and isinstance(command, commands.SendData):
                command.data += event.response.raw_content or b""
                yield command
            else:
                yield command
        if isinstance(event, ResponseHeaders) and event.response.status_code == CONTINUE:
            self.response = None  # Leave to send a body; the answer is still to come.

    def read_headers(self, event: events.ConnectionEvent) -> Any:
        self.buf.skip_empty_lines()
        try:
            for command in super().read_headers(event):
                yield reword(command, RequestInvalid("the request's head cannot be read"))
        except _ControlCharacterError:
            yield from self._refuse(RequestInvalid("the request's head holds a control character"))

    def read_body(self, event: events.Event) -> Any:
        try:
            yield from super().read_body(event)
        except (NotImplementedError, _ControlCharacterError):
            yield from self._hang_up("trailers are not taken")

    def done(self, event: events.ConnectionEvent) -> Any:
        self.buf = _HeadBuffer()  # Whatever still comes of a refused connection is not kept.
        yield from super().done(event)


class BoundedHttpLayer(HttpLayer):
    """An HTTP layer whose client side is a BoundedHttp1Server."""

    _is_held = False

    def _handle_event(self, event: events.Event) -> Any:
        if isinstance(event, events.Start):
            self.connections[self.context.client] = BoundedHttp1Server(self.context.fork())
        try:
            yield from super()._handle_event(event)
        except Exception:  # noqa: BLE001  # Whatever it is, this connection is not to be gone on with.
            _log.exception("a connection is closed: mitmproxy failed")
            yield commands.CloseConnection(self.context.client)
        self._hold_or_release()

    def make_stream(self, stream_id: int) -> Any:
        self.streams[stream_id] = InlineStream(self.context.fork(), stream_id)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def _hold_or_release(self) -> None:
        """Read no more of a body while nobody takes it: mitmproxy would queue it all."""
        is_waiting = any(
            isinstance(queued, RequestData)
            for stream in self.streams.values()
            for queued in stream._paused_event_queue
        )
        if not is_waiting and not self._is_held:
            return
        self._is_held = is_waiting
        streams = find_streams(self.context.client)
        if streams is None or streams.writer.is_closing():
            return
        if is_waiting:
            streams.writer.transport.pause_reading()
        elif not streams.reader._paused:  # Else it resumes by itself, once it is read empty.
            streams.writer.transport.resume_reading()
