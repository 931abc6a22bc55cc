"""Everything that is not ours, to the LAN's own resolver and back.

Messages pass as they are, with two exceptions: on the way out the id is a random one of ours, and
on the way back the question is spelled in the client's own mix of cases, whatever the server made
of it. A server that is dead or failing costs one try; the one that answered last is asked first.
"""

import asyncio
import os
from collections.abc import Sequence

from appliance.dns.wire import (
    REFUSED,
    SERVFAIL,
    TRUTH_TTL_SECONDS_MAX,
    Query,
    fit,
    limit_ttl,
    render_failure,
)
from appliance.upstream.exchange import Server, exchange_tcp, exchange_udp

TRY_SECONDS = 2.0  # Leaves a second server its turn within the 5 seconds that clients wait.
IN_FLIGHT_MAX = 256  # Each holds a descriptor, of the 1,024 that a process has by default.

_QUESTION_START = 12


class Forwarder:
    """Asks `servers` on behalf of clients. They may be changed at any time."""

    def __init__(self, servers: Sequence[Server] = ()) -> None:
        self.servers = tuple(servers)
        self._preferred: Server | None = None
        self._in_flight = 0

    async def forward(self, query: Query, *, is_tcp: bool, is_brief: bool = False) -> bytes:
        """The reply for the client: SERVFAIL where nobody answers or too much is in flight.

        By UDP it fits what the client takes. `is_brief` keeps clients from remembering it long.
        """
        if self._in_flight >= IN_FLIGHT_MAX:
            return render_failure(query)
        self._in_flight += 1
        try:
            reply = await self._ask_in_turn(query, is_tcp=is_tcp)
        finally:
            self._in_flight -= 1
        if reply is not None and is_brief:
            reply = limit_ttl(reply, TRUTH_TTL_SECONDS_MAX)
        if reply is None:
            return render_failure(query)
        return reply if is_tcp else fit(query, reply)

    async def _ask_in_turn(self, query: Query, *, is_tcp: bool) -> bytes | None:
        """The first good reply, or the first bad one where there is none."""
        bad = None
        exchange = exchange_tcp if is_tcp else exchange_udp
        for server in self._in_order():
            try:
                async with asyncio.timeout(TRY_SECONDS):
                    answer = await exchange(server, os.urandom(2) + query.packet[2:])
            except OSError:
                continue
            reply = _restore(query, answer)
            if reply[3] & 0x0F not in (SERVFAIL, REFUSED):
                self._preferred = server
                return reply
            bad = bad or reply
        return bad

    def _in_order(self) -> tuple[Server, ...]:
        return tuple(sorted(self.servers, key=lambda each: each != self._preferred))


def _restore(query: Query, answer: bytes) -> bytes:
    """The client's own id, and its question byte for byte, over the answer's."""
    start, stop = _QUESTION_START, query.question_stop
    if answer[4:6] == b"\0\0":  # An error that does not repeat the question.
        return query.packet[:2] + answer[2:]
    return query.packet[:2] + answer[2:start] + query.packet[start:stop] + answer[stop:]
