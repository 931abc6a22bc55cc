"""Runs mitmproxy inside our own loop, with exactly our addons, on sockets handed to it."""

import asyncio
import socket
from collections.abc import Callable, Sequence

from mitmproxy import options
from mitmproxy.addons import core, proxyserver
from mitmproxy.master import Master
from mitmproxy.proxy.mode_servers import ServerInstance
from mitmproxy.proxy.mode_specs import ProxyMode

from addons import responses
from addons.doors import format_mode
from addons.entrance import counted
from addons.guard import check_internals
from addons.hooks import listen
from addons.inline import Inline
from addons.intercept import Intercept
from addons.registry import RegistryAddon
from addons.report import Report
from appliance.accepting import ACCEPTED_MAX, accept_streams
from appliance.policy.turnstile import Turnstile
from appliance.protocol.heads import IDLE_SECONDS_MAX

DRAIN_SECONDS = 5.0  # What a manifest may take, the end of a push, or the rest of a body.


class Proxy:
    """The TLS door. Use with `async with`; it listens as long as it is entered.

    What the proxy door opens is served here as well.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        intercept: Intercept,
        registry: RegistryAddon,
        inline: Inline,
        turnstile: Turnstile,
        *,
        trusted_roots: str,
        accepted_max: int = ACCEPTED_MAX,
    ) -> None:
        """Take over bound `sockets`. `trusted_roots` is a PEM file that the origin is checked by.

        Raises MitmproxyChangedError.
        """
        check_internals()
        responses.install()
        self._sockets = sockets
        self._accepted_max = accepted_max
        self._turnstile = turnstile
        self._passages = registry.passages
        self._addons = (core.Core(), intercept, registry, inline, Report())
        self._trusted_roots = trusted_roots
        self._proxyserver = proxyserver.Proxyserver()

    async def __aenter__(self) -> "Proxy":
        self._master = Master(options.Options(), event_loop=asyncio.get_running_loop())
        listen(self._master)
        self._master.addons.add(*self._addons, self._proxyserver)
        self._master.options.update(
            server=False,
            http2=False,
            websocket=False,
            rawtcp=False,
            connection_strategy="lazy",
            keep_host_header=True,
            tcp_timeout=int(IDLE_SECONDS_MAX),
            ssl_verify_upstream_trusted_ca=self._trusted_roots,
        )
        # Not `Master.run`: it would make every task of the whole loop an eager one.
        await self._master.running()
        self._instance = self._make_instance()
        self._acceptor = accept_streams(self._sockets, self._meet, accepted_max=self._accepted_max)
        return self

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with counted(self._turnstile, writer) as address:
            if address is not None:
                await self._instance.handle_stream(reader, writer)

    async def take(
        self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take a connection over whose client has asked for `name` by CONNECT, until it ends."""
        await self._make_instance(name).handle_stream(reader, writer)

    def _make_instance(self, connected: str | None = None) -> ServerInstance[ProxyMode]:
        return ServerInstance.make(format_mode(connected), self._proxyserver)

    async def __aexit__(self, *_: object) -> None:
        self._acceptor.close()
        await self._drain()
        await self._master.done()

    @property
    def connection_count(self) -> int:
        """Clients connected now."""
        return len(self._proxyserver.connections)

    async def _drain(self) -> None:
        """Let requests under way finish, then close what is left."""
        await self._settle(lambda: not self._is_busy(), DRAIN_SECONDS)
        for handler in list(self._proxyserver.connections.values()):
            for transport in list(handler.transports.values()):
                if transport.handler is not None:
                    transport.handler.cancel("the box stops")
        await self._settle(lambda: not self._proxyserver.connections, 1.0)

    async def _settle(self, is_settled: Callable[[], bool], timeout_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_seconds
        while not is_settled() and loop.time() < until:  # noqa: ASYNC110  # mitmproxy tells nobody.
            await asyncio.sleep(0.02)

    def _is_busy(self) -> bool:
        """Whether any request waits for its answer: its handler has then disarmed its timeout."""
        return self._passages.is_busy or any(
            handler.timeout_watchdog.blocker > 0
            for handler in self._proxyserver.connections.values()
        )
