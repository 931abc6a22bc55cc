"""The way to the true origin for all that passes through, streamed and untouched.

The origin's address is resolved past our own DNS and checked before mitmproxy dials it; the name
that TLS asks for and verifies stays the origin's. Each hop has its own copy of a message:
mitmproxy's two ends read from theirs what was said about their own connection.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from mitmproxy import http

from appliance.protocol.fields import format_via
from appliance.protocol.hops import forward_request, forward_response

_PORTS = {"http": 80, "https": 443}
_OURS = "HTTP/1.1"  # The version of a message is the last hop's own (RFC 9110 §2.5).
_PASSED = "passed"  # A flow's mark, with the request as the client wrote it.


@dataclass(frozen=True, slots=True)
class OriginRoute:
    """Where requests pass through to. `proxy` is the office's own, as an http URL, or None."""

    url: str
    name: str
    resolve: Callable[[str], Awaitable[tuple[str, ...]]]
    pseudonym: str
    proxy: str | None = None

    async def send(self, flow: http.HTTPFlow) -> None:
        """Point `flow` at the origin; raises what `resolve` raises."""
        origin = urlsplit(self.url)
        assert origin.hostname is not None, "config has checked origin.url"
        host_field = flow.request.headers["Host"]
        port = origin.port or _PORTS[origin.scheme]
        address = origin.hostname if self.proxy else (await self.resolve(origin.hostname))[0]
        placeholder = flow.server_conn  # Never opened itself: mitmproxy compares with it.
        placeholder.address = (address, port)
        placeholder.sni = origin.hostname
        placeholder.via = self._via()
        flow.metadata[_PASSED] = flow.request
        flow.request = flow.request.copy()
        flow.request.host, flow.request.port = address, port
        flow.request.scheme = origin.scheme
        self._write_fields(flow, origin, host_field)
        flow.request.stream = True

    def receive(self, flow: http.HTTPFlow) -> None:
        """Make the origin's response, whose head is here, the one that goes to the client."""
        asked: http.Request | None = flow.metadata.get(_PASSED)
        if asked is None or flow.response is None:
            return
        came = flow.response
        flow.response = came.copy()
        flow.response.http_version = _OURS
        headers = http.Headers(forward_response(came.headers.fields))
        if asked.is_http10 or came.is_http10:
            # Neither knows chunks, nor that connections are kept: the end of one ends the body.
            headers.pop("Transfer-Encoding", None)
            headers["Connection"] = "close"
        self._lead_back(headers, asked)
        flow.response.headers = headers
        flow.response.stream = True

    def _lead_back(self, headers: http.Headers, asked: http.Request) -> None:
        """Write URLs of an origin of another name so that the client comes by us again.

        A registry writes uploads' URLs by the name that it was asked by. Nothing else is touched:
        not the realm of a challenge, which clients sign, and no URL that leads elsewhere.
        """
        origin, host_field = urlsplit(self.url), asked.headers["Host"]
        its = f"{origin.scheme}://{self._host_field(origin, host_field)}/"
        for name in ("Location", "Content-Location"):
            if headers.get(name, "").startswith(its):
                headers[name] = f"https://{host_field}/{headers[name].removeprefix(its)}"

    def _host_field(self, origin: SplitResult, asked: str) -> str:
        """What an origin of our own name is asked by: the client's field; any other by its own."""
        return asked if origin.hostname == self.name else origin.netloc

    def _via(self) -> tuple[Literal["http"], tuple[str, int]] | None:
        if self.proxy is None:
            return None
        proxy = urlsplit(self.proxy)
        assert proxy.hostname is not None, "config has checked origin.proxy"
        return ("http", (proxy.hostname, proxy.port or 80))

    def _write_fields(self, flow: http.HTTPFlow, origin: SplitResult, host_field: str) -> None:
        request = flow.request
        request.headers = http.Headers(forward_request(request.headers.fields))
        request.headers["Host"] = self._host_field(origin, host_field)
        request.headers.add("Via", format_via(self.pseudonym))
        if request.is_http10:  # Who speaks it knows nothing of interim responses.
            request.headers.pop("Expect", None)
        request.http_version = _OURS
