"""mitmproxy's HTTP/1 client, which reads the origin's responses, with what it lacks.

It takes an interim response (RFC 9110 §15.2) for the answer, stops at trailers, and reads heads of
any size. Here interim responses and trailers are dropped, as nobody asked for either: `Expect` and
`TE` go no further than this box.
"""

import re
from typing import Any

from mitmproxy.proxy import commands, events, layers
from mitmproxy.proxy.layers.http import _events
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client

from addons.internals import require_methods
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX

_INTERIM = re.compile(rb"HTTP/1\.[01] +1(?!01)[0-9][0-9]\b")


class BoundedHttp1Client(Http1Client):
    """One connection to the origin."""

    def read_headers(self, event: events.ConnectionEvent) -> Any:
        if isinstance(event, events.DataReceived):
            while self.request and _INTERIM.match(self.buf._data) and self._drop_head():
                pass
        yield from super().read_headers(event)
        if self.state == self.read_headers and len(self.buf) > HEAD_SIZE_BYTES_MAX:
            yield from self._hang_up("the head of the origin's response is too large")

    def _drop_head(self) -> bool:
        """Whether a head was there whole, and is gone."""
        return self.buf.maybe_extract_lines() is not None

    def read_body(self, event: events.Event) -> Any:
        try:
            yield from super().read_body(event)
        except NotImplementedError:  # Trailers. The body before them is out already.
            assert self.stream_id is not None, "it is a response to something"
            yield ReceiveHttp(_events.ResponseEndOfMessage(self.stream_id))
            yield from self.mark_done(response=True)

    def _hang_up(self, reason: str) -> Any:
        self.state = self.done
        code = _events.ErrorCode.GENERIC_SERVER_ERROR
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            yield ReceiveHttp(_events.ResponseProtocolError(self.stream_id, reason, code))


def install() -> None:
    """Have mitmproxy make these: it looks the class up by its name and offers no other way.

    Raises MitmproxyChangedError.
    """
    require_methods(Http1Client, "read_headers", "read_body", "mark_done", "done")
    setattr(layers.http, Http1Client.__name__, BoundedHttp1Client)
