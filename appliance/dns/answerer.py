"""One query's way to its answer: who asks, what, and how the box is.

Theory of operation. Nothing here waits. What is ours is answered at once; what is not is handed
back, to be forwarded. The box counts as well only while a healthy beat is younger than
SILENCE_SECONDS, so that a box that hangs fails open just as one that says so. Replies are
remembered by the query's bytes, for pulls ask the same few questions over and over; whatever may
change a reply drops them all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from time import monotonic

from appliance.dns.quota import Quota
from appliance.dns.settings import Beat, Settings
from appliance.dns.wire import Query, parse_query, render_answer
from appliance.policy.addresses import (
    Addresses,
    Interface,
    Network,
    choose_addresses,
    is_allowed,
    local_networks,
    parse_address,
)
from appliance.policy.answers import (
    Box,
    Forward,
    Names,
    Refuse,
    Verdict,
    decide_answer,
    normalise_name,
)
from appliance.policy.blob_addresses import BlobPlace, choose_blob_addresses

SILENCE_SECONDS = 2.0  # Four missed beats: no pause of a loaded box, and less than a client waits.
REPLIES_MAX = (
    1024  # A few names in a few types, by each address; the rest is mixed case and cookies.
)
REPLY_QUERY_SIZE_BYTES_MAX = (
    512  # Ordinary queries; larger ones are answered without being remembered.
)
CLIENTS_MAX = 4096  # More than any LAN this is for.
USE_SECONDS = 60.0  # Between two words that a client is led here: the box thinks in hours of it.


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A query for somebody else to answer; `is_brief` as in Forward."""

    query: Query
    is_brief: bool


@dataclass(frozen=True, slots=True)
class _Reply:
    """A reply but for its id; `is_box` where it leads to the box."""

    rest: bytes
    is_box: bool


class Answerer:
    """Turns queries into replies, by what it was told of the box last."""

    def __init__(
        self,
        settings: Settings,
        *,
        tell_use: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`tell_use` is called, not too often, with each client on the network led to the box.

        Raises:
            ValueError: an address or network in `settings` is none.
        """
        self._settings = settings
        self._tell_use = tell_use
        self._told_at: dict[str, float] = {}
        self._clock = clock
        intercepted = frozenset(normalise_name(each) for each in settings.intercepted)
        self._names = Names(intercepted, normalise_name(settings.blob_host))
        self._blob_place = BlobPlace(
            Addresses.sort(settings.blob_addresses),
            settings.blob_announced and str(parse_address(settings.blob_announced)),
            settings.box_address,
            settings.is_blob_host_published,
        )
        self._configured = tuple(ip_network(each, strict=False) for each in settings.allow)
        self._truth = Addresses.sort(settings.truth)
        self._well_until = float("-inf")
        self._was_open = True
        self._interfaces: tuple[Interface, ...] = ()
        self._own: frozenset[str] = frozenset()
        self._allowed: tuple[Network, ...] = self._configured
        self._clients: dict[str, bool] = {}
        self._quota = Quota(settings.questions_per_minute)
        self._replies: dict[tuple[str, bytes], _Reply] = {}
        choose_addresses("127.0.0.1", (), settings.box_address)

    def learn_interfaces(self, interfaces: Sequence[Interface]) -> None:
        """Take note of the machine's addresses."""
        self._interfaces = tuple(interfaces)
        self._own = frozenset(text for each in interfaces for text in each.texts)
        self._allowed = self._configured or local_networks(interfaces)
        self._clients.clear()
        self._replies.clear()

    def learn_routers(self, addresses: Iterable[str]) -> None:
        """Take note of who asks for others, too: they may ask more."""
        self._quota.routers = frozenset(str(parse_address(each)) for each in addresses)

    def learn_beat(self, beat: Beat) -> None:
        """Take note of how the box is now."""
        self._well_until = self._clock() + SILENCE_SECONDS if beat.is_healthy else float("-inf")
        truth = Addresses.sort(beat.truth)
        if truth and truth != self._truth:
            self._truth = truth
            self._replies.clear()

    def learn_death(self) -> None:
        """Take note that the box is gone."""
        self._well_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether DNS has failed open."""
        return self._clock() >= self._well_until

    def answer(self, packet: bytes, client: str, local: str) -> bytes | Forwarded | None:
        """The reply to what `client` sent to our address `local`; or None, to stay silent."""
        if not self._is_welcome(client):
            query = parse_query(packet)
            return self._render(query, Refuse()) if isinstance(query, Query) else query
        if self.is_open != self._was_open:
            self._was_open = not self._was_open
            self._replies.clear()
        outcome = self._replies.get((local, packet[2:])) or self._answer(packet, local)
        if isinstance(outcome, Forwarded) and not self._quota.take(client, self._clock()):
            return self._render(outcome.query, Refuse())
        if not isinstance(outcome, _Reply):
            return outcome
        if outcome.is_box:
            self._note_use(client)
        return packet[:2] + outcome.rest

    def _answer(self, packet: bytes, local: str) -> "_Reply | bytes | Forwarded | None":
        query = parse_query(packet)
        if not isinstance(query, Query):
            return query
        verdict = self._decide(query, local)
        if isinstance(verdict, Forward):
            return Forwarded(query, verdict.is_brief)
        reply = _Reply(self._render(query, verdict)[2:], isinstance(verdict, Box))
        self._remember(packet, local, reply)
        return reply

    def _note_use(self, client: str) -> None:
        """Say that `client` is led here; the box asking itself is none."""
        now = self._clock()
        if client in self._own or now - self._told_at.get(client, float("-inf")) < USE_SECONDS:
            return
        if len(self._told_at) >= CLIENTS_MAX:
            self._told_at.clear()
        self._told_at[client] = now
        self._tell_use(client)

    def _decide(self, query: Query, local: str) -> Verdict:
        box = choose_addresses(local, self._interfaces, self._settings.box_address)
        blob_addresses = choose_blob_addresses(local, self._interfaces, self._blob_place)
        return decide_answer(
            query.question,
            self._names,
            box,
            blob_addresses,
            is_open=self._was_open,
            truth=self._truth,
        )

    def _render(self, query: Query, verdict: Verdict) -> bytes:
        assert not isinstance(verdict, Forward)
        return render_answer(query, verdict, self._settings.ttl_seconds)

    def _remember(self, packet: bytes, local: str, reply: "_Reply") -> None:
        if len(packet) > REPLY_QUERY_SIZE_BYTES_MAX:
            return
        if len(self._replies) >= REPLIES_MAX:
            self._replies.clear()
        self._replies[local, packet[2:]] = reply

    def _is_welcome(self, client: str) -> bool:
        is_local = self._clients.get(client)
        if is_local is None:
            if len(self._clients) >= CLIENTS_MAX:
                self._clients.clear()
            is_local = self._clients[client] = is_allowed(client, self._allowed)
        return is_local
