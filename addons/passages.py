"""The requests that pass through now: what is under way, and how long the origin may take.

Theory of operation. mitmproxy closes a connection on which nothing has moved for a minute. That
is right for clients, and wrong while an origin thinks: it answers the last request of a push once
it has hashed gigabytes. So the minute is suspended from the end of a request to the head of its
answer, and dialling and thinking get limits of their own.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mitmproxy import ctx, http
from mitmproxy.connection import Client, Connection

from appliance.upstream.dialling import CONNECT_SECONDS

# An upload's blob is hashed, and perhaps copied, before it is answered: 100 GB at 200 MB/s.
THINKING_SECONDS_MAX = 600.0


@dataclass
class _Passage:
    """One request on its way. Leaving `thinking` arms the client's timeout again."""

    thinking: ExitStack = field(default_factory=ExitStack)
    is_answered: bool = False


class Passages:
    """Counts what passes through. HTTP/1: one request of a client at a time."""

    def __init__(self) -> None:
        self._by_client: dict[str, _Passage] = {}
        self._dials: dict[str, asyncio.TimerHandle] = {}

    @property
    def is_busy(self) -> bool:
        """Whether any request is on its way to the origin, or its answer back."""
        return bool(self._by_client)

    def begin(self, flow: http.HTTPFlow) -> None:
        """A request's head goes to the origin."""
        self.end(flow.client_conn)
        self._by_client[flow.client_conn.id] = _Passage()

    def note_asked(self, flow: http.HTTPFlow) -> None:
        """The request is whole: from here on the origin thinks."""
        passage = self._by_client.get(flow.client_conn.id)
        handler = _find_handler(flow.client_conn)
        if passage is None or passage.is_answered or handler is None:
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(THINKING_SECONDS_MAX, _give_up, flow)
        passage.thinking.callback(timer.cancel)
        passage.thinking.enter_context(handler.timeout_watchdog.disarm())

    def note_answered(self, flow: http.HTTPFlow) -> None:
        """The answer's head is here."""
        passage = self._by_client.get(flow.client_conn.id)
        if passage is not None:
            passage.is_answered = True
            passage.thinking.close()

    def end(self, client: Client) -> None:
        """The answer is whole, or there will be none."""
        passage = self._by_client.pop(client.id, None)
        if passage is not None:
            passage.thinking.close()

    def note_dialling(self, client: Client, server: Connection) -> None:
        """A connection to the origin is begun; one that hangs ends in 502."""
        loop = asyncio.get_running_loop()
        self._dials[server.id] = loop.call_later(CONNECT_SECONDS, _cancel, client, server)

    def note_dialled(self, server: Connection) -> None:
        """It is open for requests, or it failed."""
        timer = self._dials.pop(server.id, None)
        if timer is not None:
            timer.cancel()


def _find_handler(client: Client) -> Any:
    return ctx.master.addons.get("proxyserver").connections.get(client.id)


def _give_up(flow: http.HTTPFlow) -> None:
    """Close the origin's side, which is a 502; the client's where a proxy is in between."""
    if not _cancel(flow.client_conn, flow.server_conn):
        _cancel(flow.client_conn, flow.client_conn)


def _cancel(client: Client, connection: Connection) -> bool:
    handler = _find_handler(client)
    io = handler and handler.transports.get(connection)
    if not io or io.handler is None:
        return False
    io.handler.cancel("no answer in time")
    return True
