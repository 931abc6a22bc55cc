"""A blob's bytes as the body of a response, sent by a pump thread past mitmproxy.

Theory of operation. mitmproxy buffers whatever a layer yields, so a body never goes through its
layers. The stream sends the head, then pauses in a hook of our own. There the event loop lets go of
the connection: everything before the body is drained, the TLS object is lent, and a pump thread
seals and sends. Then the loop takes the object back, and the stream ends as any other, or the
connection closes: a body cut short must never look complete.

    stream:  head ── SendBodyHook ┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ whole? done : close
    hook:            drain ── lend ┈┈┈┈┈┈┈┈┈┈┈┈ take back
    thread:                        seal ── write ── …

What the client sends meanwhile stays where it is: the connection's handler is kept from reading by
the lock that it drains under, so at most one read is on its way, and the TLS layer holds that back
until it has its object again (`BoundedTLSLayer`). Every use of the object checks whose turn it is.

The private names of mitmproxy that only this needs are named in `check_internals`; a box whose
mitmproxy lacks one sends redirects instead.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import Client
from mitmproxy.proxy import commands
from mitmproxy.proxy.layers.http import DropStream, HttpLayer, HttpStream, SendHttp
from mitmproxy.proxy.layers.http._events import RequestEndOfMessage, ResponseHeaders
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from addons.internals import MitmproxyChangedError, require_fields, require_methods
from appliance.cache.readers import Reader
from appliance.delivery.pump import STALL_SECONDS_MAX, Pumps
from appliance.delivery.sockets import take_socket
from appliance.delivery.tls import TlsOutlet, sealed_bytes_max
from appliance.protocol.ranges import Span
from appliance.registry.bodies import send_body

# OpenSSL as pyOpenSSL calls it, and how it names memory. `bio_read` makes new memory each time.
_LIBRARY: Any = getattr(SSL, "_lib", None)
_MEMORY: Any = getattr(SSL, "_ffi", None)

_BODY = "body"  # A flow's metadata: the Body that follows its response's head.


def check_internals() -> None:
    """Raise MitmproxyChangedError unless the private names used here are where they were."""
    require_methods(HttpLayer, "make_stream")
    require_methods(HttpStream, "flow_done", "state_consume_request_body")
    require_methods(HttpStream, "state_done", "state_errored")
    require_fields(HttpStream, "client_state", "server_state", "stream_id")
    require_fields(ConnectionHandler, "_drain_lock", "transports")
    require_fields(SSL.Connection, "_from_ssl")
    if not (hasattr(_LIBRARY, "BIO_read") and hasattr(_MEMORY, "from_buffer")):
        raise MitmproxyChangedError("its pyOpenSSL has no BIO_read any more")


def find_trouble() -> str:
    """Why bodies cannot be sent inline, as a sentence with its remedy; "" if they can."""
    try:
        check_internals()
    except MitmproxyChangedError as error:
        return f"no blob leaves over https, only by redirect to http: {error}; {error.hint}"
    return ""


class LendableConnection(SSL.Connection):
    """A TLS object that one thread uses at a time: the one that made it, but for a loan."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context)
        self._user: int | None = threading.get_ident()
        self.is_lent = False

    def lend(self) -> None:
        """Leave it to the next thread that uses it."""
        self._check()
        self._user, self.is_lent = None, True

    def take_back(self) -> None:
        """Have it again, once the other thread is done."""
        self._user, self.is_lent = threading.get_ident(), False

    def seal(self, plaintext: memoryview | bytes) -> bytes:
        """All the records of `plaintext`. Raises ConnectionError if the session is broken."""
        sealed = memoryview(bytearray(sealed_bytes_max(len(plaintext))))
        return bytes(sealed[: self.seal_into(sealed, plaintext)])

    def seal_into(self, sealed: memoryview, plaintext: memoryview | bytes) -> int:
        """See `appliance.delivery.tls.Session`."""
        try:
            self.sendall(plaintext)
        except SSL.Error as error:
            raise ConnectionAbortedError("the TLS session is broken") from error
        room = _MEMORY.from_buffer(sealed)
        sealed_bytes: int = _LIBRARY.BIO_read(self._from_ssl, room, len(sealed))
        assert 0 < sealed_bytes < len(sealed), "a record was left behind"
        return sealed_bytes

    def sendall(self, buf: Any, flags: int = 0) -> int:
        self._check()
        return super().sendall(buf, flags)

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        self._check()
        return super().recv(bufsiz, flags)

    def bio_read(self, bufsiz: int) -> bytes:
        self._check()
        return super().bio_read(bufsiz)

    def bio_write(self, buf: Any) -> int:
        self._check()
        return super().bio_write(buf)

    def _check(self) -> None:
        mine = threading.get_ident()
        if self._user is None:
            self._user = mine
        assert self._user == mine, "two threads use one TLS object"


@dataclass(eq=False)
class Body:
    """What follows a response's head. `session` is None where the connection is in the clear."""

    client: Client
    reader: Reader
    session: LendableConnection | None = None
    is_whole: bool = False
    sending: asyncio.Task[None] | None = None


@dataclass
class SendBodyHook(commands.StartHook):
    """The head of a response is out: send its body. Its stream waits."""

    body: Body


@dataclass
class AnswerAtOnce(ResponseHeaders):
    """A response's head and what it holds itself: one record of TLS, and one packet."""


class InlineStream(HttpStream):
    """A stream whose response may have its body sent by a pump.

    What an addon answered at the request's head meets no further hooks: nobody has more to say,
    and each costs as much as reading the request did.
    """

    def state_consume_request_body(self, event: Any) -> Any:
        if self.flow.response is None or not isinstance(event, RequestEndOfMessage):
            yield from super().state_consume_request_body(event)
            return
        self.client_state = self.server_state = self.state_done
        body: Body | None = self.flow.metadata.get(_BODY)
        yield SendHttp(AnswerAtOnce(self.stream_id, self.flow.response), self.context.client)
        if body is not None:
            body.session = self._find_session()
            yield SendBodyHook(body)
        yield from self.flow_done() if body is None or body.is_whole else self._cut()

    def _find_session(self) -> LendableConnection | None:
        """That of the innermost TLS layer: inside a tunnel there may be one more."""
        for layer in reversed(self.context.layers):
            if isinstance(layer, ClientTLSLayer):
                assert isinstance(layer.tls, LendableConnection), "ours opens every session"
                return layer.tls
        return None

    def _cut(self) -> Any:
        self.flow.live = False
        self.client_state = self.server_state = self.state_errored
        yield commands.CloseConnection(self.context.client)
        yield DropStream(self.stream_id)


@dataclass(slots=True)
class _InlineExit:
    """The way out of one body. The connection is quiet meanwhile."""

    writer: asyncio.StreamWriter
    session: LendableConnection | None
    pumps: Pumps
    is_cut: bool = False

    async def send_spans(
        self, file_fd: int, spans: AsyncIterator[Span], note_sent: Callable[[int], None]
    ) -> int:
        async with asyncio.timeout(STALL_SECONDS_MAX):
            out_fd = await take_socket(self.writer.transport, self.writer.drain)
        if self.session is None:
            return await self.pumps.send(out_fd, file_fd, spans, note_sent)
        outlet = TlsOutlet(out_fd, self.session)
        self.session.lend()
        try:
            return await self.pumps.send_by(outlet, file_fd, spans, note_sent)
        finally:
            self.session.take_back()
            self.is_cut = outlet.is_cut

    async def write(self, chunk: bytes) -> None:
        if self.is_cut:
            raise ConnectionAbortedError("the body ended inside a record")
        self.writer.write(self.session.seal(chunk) if self.session else chunk)
        async with asyncio.timeout(STALL_SECONDS_MAX):
            await self.writer.drain()


@dataclass
class Inline:
    """The addon that sends bodies, and closes the reader of every one that was begun."""

    pumps: Pumps
    _bodies: dict[str, Body] = field(default_factory=dict)

    def attach(self, flow: http.HTTPFlow, reader: Reader) -> None:
        """Have `reader` follow the head that `flow` already has; takes ownership of it."""
        body = Body(flow.client_conn, reader)
        assert body.client.id not in self._bodies, "one response at a time"
        self._bodies[body.client.id] = flow.metadata[_BODY] = body

    async def send_body(self, body: Body) -> None:
        """Answer SendBodyHook."""
        if body.client.id not in self._bodies:
            return  # The client went before its turn.
        async with asyncio.TaskGroup() as group:
            body.sending = group.create_task(self._send(body))

    async def client_disconnected(self, client: Client) -> None:
        body = self._bodies.get(client.id)
        if body is None:
            return
        if body.sending is None:
            self._close(body)
            return
        body.sending.cancel()
        await asyncio.wait([body.sending])

    async def _send(self, body: Body) -> None:
        try:
            async with _quiet(body.client) as writer:
                way_out = _InlineExit(writer, body.session, self.pumps)
                body.is_whole = await send_body(body.reader, way_out)
        except (ConnectionError, TimeoutError):
            return  # The client is gone, or takes nothing: the stream cuts the connection.
        finally:
            self._close(body)

    def _close(self, body: Body) -> None:
        del self._bodies[body.client.id]
        body.reader.close()


@asynccontextmanager
async def _quiet(client: Client) -> AsyncIterator[asyncio.StreamWriter]:
    """The client's writer, while nothing is read of the client.

    Raises ConnectionResetError if it is gone, TimeoutError if it does not take what came before.
    """
    handler = ctx.master.addons.get("proxyserver").connections.get(client.id)
    streams = handler and handler.transports.get(client)
    if streams is None or streams.writer.is_closing():
        raise ConnectionResetError("the client is gone")
    async with asyncio.timeout(STALL_SECONDS_MAX):
        await handler._drain_lock.acquire()
    try:
        yield streams.writer
    finally:
        handler._drain_lock.release()
