"""A fill in simulated time: a line, its accidents, readers of all kinds, and the plan between them.

What holds in every simulation (asserted while it runs, or by the tests from its outcome):

1. No byte is fetched twice: a run is only started over bytes that are neither held nor on their
   way, except for what a connection had in flight when it was given up, cut, reset or dropped.
2. There are never more runs than connections.
3. Orders name runs that exist, a shortened run keeps at least a byte, and what is started lies in
   the blob and in no other run, whatever was ordered with it.
4. Every fill ends with every byte held, whoever left on the way, and each reader has got its span.
5. No reader goes without bytes for longer than `silence_bound` says of its set-up, as long as no
   connection crawls; in the set-ups of the table, with 16 connections and 30 ms, that is a round
   trip for clients in step; for 64 places below 5 seconds from 1 MB/s and below 1 from 125 MB/s;
   and below 5 seconds for 480 places from 12.5 MB/s.
6. A fill nobody disturbs takes little longer than its bytes take on that line.
7. No more than a hundredth of a blob is fetched in vain, unless a reader waited HEDGE_SECONDS.
8. A connection that crawls holds up the end of a fill by CRAWL_SECONDS or so.

The line is fluid: connections share its total rate equally, none above its own limit, and each
waits one round trip for its first byte. A connection may be reset, may crawl, or may fall silent; a
silent one is dropped after STALL_SECONDS, as a fill does it. The plan is asked at every event: a
reader comes, goes or is reached, a run opens or ends, and four times a second.

`python -m tests.appliance.policy.fill_setups` writes a table of set-ups.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, floor, inf

from appliance.policy.fillplan import (
    HEDGE_SECONDS,
    RUN_SIZE_BYTES_MIN,
    choose_run_size,
    plan_runs,
)
from appliance.policy.linerate import LineRate
from appliance.policy.places import Reader
from appliance.policy.runs import Orders, Run
from appliance.policy.spans import SpanSet
from appliance.policy.waste import choose_spare_bytes
from appliance.protocol.ranges import Span

MB = 1_000_000
STALL_SECONDS = 10.0
TICK_SECONDS = 0.25
BUFFERED_BYTES = 128 * 1024  # Lies in sockets on either side of a connection that is cut.
SIMULATED_SECONDS_MAX = 10_000.0  # A fill that takes longer is stuck.


@dataclass(frozen=True)
class Line:
    """What lies between a fill and its origin. Rates in bytes a second."""

    rate: float
    rate_each: float = inf  # What the origin allows one connection.
    round_trip_seconds: float = 0.03
    connections: int = 16

    @property
    def rate_usable(self) -> float:
        return min(self.rate, self.rate_each * self.connections)


@dataclass(frozen=True)
class Visit:
    """One reader: when it comes, what it wants, how fast it takes it, when it gives up."""

    start: int
    stop: int
    comes_at: float = 0.0
    leaves_at: float = inf
    rate: float = inf


@dataclass(frozen=True)
class Accident:
    """What befalls the connection that, at that moment, is `choice`-th of all (modulo)."""

    at: float
    kind: str  # "reset" | "stall" | "crawl"
    choice: int = 0


@dataclass
class Outcome:
    """What a simulated fill came to."""

    seconds: float = 0.0
    silences: list[float] = field(default_factory=list)  # The longest of each visit.
    runs_max: int = 0
    places_max: int = 0
    requests: int = 0
    plans: int = 0
    kept_bytes: int = 0
    wasted_bytes: float = 0.0  # In flight on connections that ended early.

    @property
    def silence_seconds(self) -> float:
        return max(self.silences, default=0.0)


@dataclass
class _Fetch:
    watermark: float
    stop: int
    opens_at: float
    moved_at: float
    rate: float = 0.0  # At this moment.
    rate_max: float = inf

    @property
    def start(self) -> int:
        return floor(self.watermark)


@dataclass
class _Guest:
    visit: Visit
    position: float
    fed_at: float
    dry_since: float  # Infinity while there is something to read.
    silence_seconds: float = 0.0

    def stay_dry(self, until: float) -> None:
        self.silence_seconds = max(self.silence_seconds, until - self.dry_since)


class Simulation:
    """One fill of `size_bytes`, until every byte is held and every reader has left."""

    def __init__(
        self,
        size_bytes: int,
        line: Line,
        visits: Sequence[Visit],
        accidents: Sequence[Accident] = (),
        held: SpanSet | None = None,
    ) -> None:
        self.size_bytes = size_bytes
        self.line = line
        self.held = SpanSet() if held is None else held
        self.outcome = Outcome()
        self._now = 0.0
        self._to_come = sorted(visits, key=lambda visit: visit.comes_at)
        self._guests: list[_Guest] = []
        self._accidents = sorted(accidents, key=lambda accident: accident.at)
        self._fetches: dict[int, _Fetch] = {}
        self._rate = LineRate()
        self._thrown_bytes = 0
        self._next_tick = TICK_SECONDS

    def run(self) -> Outcome:
        while True:
            self._admit()
            self._suffer()
            self._plan()
            if self._is_over():
                break
            self._advance(self._next_event())
        self.outcome.seconds = self._now
        return self.outcome

    def _is_over(self) -> bool:
        assert self._now < SIMULATED_SECONDS_MAX, "the fill is stuck"
        if self._to_come or self._guests:
            return False
        return self.held.covers(Span(0, self.size_bytes))

    # What happens from outside.

    def _admit(self) -> None:
        while self._to_come and self._to_come[0].comes_at <= self._now:
            visit = self._to_come.pop(0)
            self._guests.append(_Guest(visit, visit.start, self._now, self._now))
        for guest in [*self._guests]:
            if guest.position >= guest.visit.stop or guest.visit.leaves_at <= self._now:
                self._guests.remove(guest)
                self.outcome.silences.append(guest.silence_seconds)

    def _suffer(self) -> None:
        while self._accidents and self._accidents[0].at <= self._now:
            accident = self._accidents.pop(0)
            if self._fetches:
                key = sorted(self._fetches)[accident.choice % len(self._fetches)]
                if accident.kind == "reset":
                    self._drop(key)
                else:
                    crawl = self.line.rate_usable / 100 / self.line.connections
                    self._fetches[key].rate_max = crawl if accident.kind == "crawl" else 0.0
        for key, fetch in [*self._fetches.items()]:
            if self._now - fetch.moved_at >= STALL_SECONDS:
                self._drop(key)

    def _drop(self, key: int) -> None:
        fetch = self._fetches.pop(key)
        self._waste(fetch, fetch.stop - fetch.watermark)

    def _waste(self, fetch: _Fetch, rest_bytes: float) -> None:
        """Count what was under way of the `rest_bytes` that a connection will not deliver."""
        if fetch.rate > 0:
            flying_bytes = fetch.rate * self.line.round_trip_seconds + BUFFERED_BYTES
            self.outcome.wasted_bytes += min(rest_bytes, flying_bytes)

    # The plan.

    def _plan(self) -> None:
        runs = [
            Run(key, it.start, it.stop, it.moved_at, it.rate or None)
            for key, it in self._fetches.items()
        ]
        readers = [
            Reader(floor(guest.position), guest.visit.stop, guest.fed_at) for guest in self._guests
        ]
        orders = plan_runs(
            size_bytes=self.size_bytes,
            held=self.held,
            runs=runs,
            readers=readers,
            rate_bytes_per_second=self._rate.bytes_per_second(self._now),
            connections_max=self.line.connections,
            now=self._now,
            round_trip_seconds=self.line.round_trip_seconds,
            spare_bytes=choose_spare_bytes(self.size_bytes) - self._thrown_bytes,
        )
        self._thrown_bytes += orders.thrown_bytes
        check_orders(orders, self.size_bytes, self.held, runs, self.line.connections)
        self._obey(orders)
        self.outcome.plans += 1
        self.outcome.runs_max = max(self.outcome.runs_max, len(self._fetches))
        hungry = {reader.position for reader in readers if not self._has(reader.position)}
        self.outcome.places_max = max(self.outcome.places_max, len(hungry))

    def _has(self, position: int) -> bool:
        return self.held.held_from(position) > position

    def _obey(self, orders: Orders) -> None:
        for key in orders.give_up:
            self._drop(key)
        for key, stop in orders.shorten:
            self._waste(self._fetches[key], self._fetches[key].stop - stop)
            self._fetches[key].stop = stop
        for span in orders.start:
            self.outcome.requests += 1
            opens_at = self._now + self.line.round_trip_seconds
            fetch = _Fetch(span.start, span.stop, opens_at, self._now)
            self._fetches[self.outcome.requests] = fetch

    # Time.

    def _next_event(self) -> float:
        self._share_line()
        moments = [self._next_tick]
        moments += [visit.comes_at for visit in self._to_come[:1]]
        moments += [accident.at for accident in self._accidents[:1]]
        moments += [guest.visit.leaves_at for guest in self._guests]
        hungry = sorted(guest.position for guest in self._guests)
        for fetch in self._fetches.values():
            if fetch.opens_at > self._now:
                moments.append(fetch.opens_at)
            elif fetch.rate > 0:
                index = bisect_right(hungry, fetch.watermark + 1)
                reach = min([fetch.stop, *(each + 1 for each in hungry[index : index + 1])])
                moments.append(self._now + (reach - fetch.watermark) / fetch.rate)
        return max(min(moments), self._now + 1e-5)

    def _share_line(self) -> None:
        """Give each open connection an equal share, and the others what a slow one leaves."""
        left, is_open = self.line.rate, []
        for fetch in self._fetches.values():
            fetch.rate = 0.0
            if fetch.opens_at <= self._now:
                is_open.append(fetch)
        is_open.sort(key=lambda fetch: fetch.rate_max)
        for index, fetch in enumerate(is_open):
            share = left / (len(is_open) - index)
            fetch.rate = min(share, fetch.rate_max, self.line.rate_each)
            left -= fetch.rate

    def _advance(self, until: float) -> None:
        since, self._now = self._now, until
        followed = {fetch.start for fetch in self._fetches.values() if fetch.rate > 0}
        if until >= self._next_tick:
            self._next_tick += TICK_SECONDS
        for key, fetch in [*self._fetches.items()]:
            self._land(key, fetch, until - since)
        for guest in self._guests:
            self._feed(guest, since, followed)

    def _land(self, key: int, fetch: _Fetch, seconds: float) -> None:
        before = fetch.start
        fetch.watermark = min(fetch.watermark + fetch.rate * seconds, fetch.stop)
        if fetch.stop - fetch.watermark < 0.01:  # Rounding, not bytes.
            fetch.watermark = fetch.stop
        if fetch.start > before:
            fetch.moved_at = self._now
            self.held.add(Span(before, fetch.start))
            self.outcome.kept_bytes += fetch.start - before
            self._rate.add(fetch.start - before, self._now)
        if fetch.start == fetch.stop:
            del self._fetches[key]

    def _feed(self, guest: _Guest, since: float, followed: set[int]) -> None:
        position = floor(guest.position)
        here = min(self.held.held_from(position), guest.visit.stop)
        if here == position:
            guest.stay_dry(self._now)
            return
        guest.stay_dry(since if position in followed else self._now)
        guest.dry_since = inf
        guest.position = min(here, guest.position + guest.visit.rate * (self._now - since))
        if floor(guest.position) > position:
            guest.fed_at = self._now
        if guest.position == here:
            guest.dry_since = self._now


def silence_bound(line: Line, places_max: int, *, stalls: int = 0) -> float:
    """How long a reader may go without bytes, with up to `places_max` hungry places at once.

    With a connection for each place it is a round trip, and what a run may need to come by: a
    second or two. A crowd takes turns: each place waits for a run of every other one, which may be
    half as long again where that ends a gap. Every connection that falls silent costs the patience
    of a hedge.
    """
    rate, trip = line.rate_usable, line.round_trip_seconds
    bound = 1.0 + 2 * trip + 2 * RUN_SIZE_BYTES_MIN * line.connections / rate
    if places_max > line.connections:
        run = choose_run_size(rate, places_max, line.connections, trip)
        rounds = ceil(places_max / line.connections)
        bound += 1.5 * (places_max * run / rate + rounds * trip)
    return bound + stalls * (HEDGE_SECONDS + TICK_SECONDS + trip)


def check_orders(
    orders: Orders, size_bytes: int, held: SpanSet, runs: Sequence[Run], connections_max: int
) -> None:
    """Assert the first three invariants of one plan."""
    kept = {run.key: run for run in runs if run.key not in orders.give_up}
    assert len(kept) == len(runs) - len(orders.give_up)
    stops = {key: run.stop for key, run in kept.items()}
    for key, stop in orders.shorten:
        assert kept[key].start < stop < kept[key].stop
        stops[key] = stop
    taken = SpanSet(held)
    for key, run in kept.items():
        if run.start < run.stop:
            taken.add(Span(run.start, stops[key]))
    for span in orders.start:
        assert span.stop <= size_bytes
        assert list(taken.missing(span)) == [span], "these bytes are held or on their way"
        taken.add(span)
    assert len(kept) + len(orders.start) <= connections_max
