"""Everything that is not ours, to the LAN's own resolver and back.

Messages pass as they are, with two exceptions: on the way out the id is a random one of ours, and
on the way back the question is spelled in the client's own mix of cases, whatever the server made
of it. A server that is dead or failing costs one try; the one that answered last is asked first.

Theory of operation, of loops. A router that we ask may itself ask us: by mistake, or by way of a
third one. What one of our servers asks while it is under way to one of them would never end, so it
fails at once, and the next server has its turn. Where a loop is longer than that, equal questions
share one way, and each has SAME_QUESTION_MAX ways at most: it ends in a timeout, and in no flood.
"""

import asyncio
import os
from collections import Counter
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
from appliance.policy.addresses import parse_address
from appliance.upstream.exchange import Server, exchange_tcp, exchange_udp

TRY_SECONDS = 2.0  # Leaves a second server its turn within the 5 seconds that clients wait.
SAME_QUESTION_MAX = 16  # One a kind of resolver that asks: with EDNS, with cookies, by TCP.
IN_FLIGHT_MAX = 256  # Each holds a descriptor, of the 1,024 that a process has by default.

_QUESTION_START = 12


class Forwarder:
    """Asks `servers` on behalf of clients. They may be changed at any time.

    `own` are this machine's addresses: where a server runs beside us, programs here share its
    address and ask what they like.
    """

    def __init__(self, servers: Sequence[Server] = ()) -> None:
        self.servers = tuple(servers)
        self.own: frozenset[str] = frozenset()
        self._preferred: Server | None = None
        self._under_way: Counter[bytes] = Counter()
        self._shared: dict[tuple[bytes, bool], asyncio.Future[bytes | None]] = {}

    async def forward(
        self, query: Query, client: str, *, is_tcp: bool, is_brief: bool = False
    ) -> bytes:
        """The reply for `client`: SERVFAIL where nobody answers or too much is in flight.

        By UDP it fits what the client takes. `is_brief` keeps clients from remembering it long.
        """
        answer = None if self._is_loop(query, client) else await self._share(query, is_tcp=is_tcp)
        reply = answer and _restore(query, answer)
        if reply is not None and is_brief:
            reply = limit_ttl(reply, TRUTH_TTL_SECONDS_MAX)
        if reply is None:
            return render_failure(query)
        return reply if is_tcp else fit(query, reply)

    def _is_loop(self, query: Query, client: str) -> bool:
        """Whether a server of ours asks what we are asking servers of ours."""
        asking = parse_address(client)
        if not self._under_way[_question(query)] or str(asking) in self.own:
            return False
        return any(asking == parse_address(host) for host, _ in self.servers)

    async def _share(self, query: Query, *, is_tcp: bool) -> bytes | None:
        """The answer to this question, for all who ask it alike at once."""
        rest = query.packet[2:_QUESTION_START] + query.packet[query.question_stop :]
        kind = (_question(query) + rest, is_tcp)
        if (shared := self._shared.get(kind)) is not None:
            return await asyncio.shield(shared)
        shared = self._shared[kind] = asyncio.get_running_loop().create_future()
        answer = None
        try:
            answer = await self._ask_bounded(query, is_tcp=is_tcp)
        finally:
            del self._shared[kind]
            shared.set_result(answer)
        return answer

    async def _ask_bounded(self, query: Query, *, is_tcp: bool) -> bytes | None:
        question = _question(query)
        is_many = self._under_way[question] >= SAME_QUESTION_MAX
        if is_many or self._under_way.total() >= IN_FLIGHT_MAX:
            return None
        self._under_way[question] += 1
        try:
            return await self._ask_in_turn(query, is_tcp=is_tcp)
        finally:
            self._under_way[question] -= 1
            if not self._under_way[question]:
                del self._under_way[question]

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
            if answer[3] & 0x0F not in (SERVFAIL, REFUSED):
                self._preferred = server
                return answer
            bad = bad or answer
        return bad

    def _in_order(self) -> tuple[Server, ...]:
        return tuple(sorted(self.servers, key=lambda each: each != self._preferred))


def _question(query: Query) -> bytes:
    """What is asked, in whatever mix of cases."""
    name, kind = query.packet[_QUESTION_START : query.question_stop - 4], query.question_stop
    return name.lower() + query.packet[kind - 4 : kind]


def _restore(query: Query, answer: bytes) -> bytes:
    """The client's own id, and its question byte for byte, over the answer's."""
    start, stop = _QUESTION_START, query.question_stop
    if answer[4:6] == b"\0\0":  # An error that does not repeat the question.
        return query.packet[:2] + answer[2:]
    return query.packet[:2] + answer[2:start] + query.packet[start:stop] + answer[stop:]
