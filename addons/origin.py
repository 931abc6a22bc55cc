"""The way to the true origin for all that passes through, streamed and untouched.

The origin's address is resolved past our own DNS and checked before mitmproxy dials it; the name
that TLS asks for and verifies stays the origin's.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from mitmproxy import http

from appliance.protocol.fields import format_via

_PORTS = {"http": 80, "https": 443}
# Claims about who asks, made for proxies that would believe them: none is ours to pass on.
_NEVER_FORWARDED = re.compile(r"(?i)forwarded|x-forwarded-.*")


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
        flow.request.host, flow.request.port = address, port
        flow.request.scheme = origin.scheme
        self._write_fields(flow, origin, host_field)
        flow.request.stream = True

    def _via(self) -> tuple[Literal["http"], tuple[str, int]] | None:
        if self.proxy is None:
            return None
        proxy = urlsplit(self.proxy)
        assert proxy.hostname is not None, "config has checked origin.proxy"
        return ("http", (proxy.hostname, proxy.port or 80))

    def _write_fields(self, flow: http.HTTPFlow, origin: SplitResult, host_field: str) -> None:
        headers = flow.request.headers
        is_the_name = origin.hostname == self.name
        headers["Host"] = host_field if is_the_name else origin.netloc
        for name in [*filter(_NEVER_FORWARDED.fullmatch, headers)]:
            del headers[name]
        headers.add("Via", format_via(self.pseudonym))
