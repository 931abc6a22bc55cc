"""What a fill fetches next: which runs to start, which to cut short, which to give up.

Theory of operation. A fill has a few connections and any number of readers, and a line that gives
a certain rate in all, however many connections share it. The plan is a function of what it is
handed and keeps nothing between two calls. It decides in three steps.

1 *Serve.* Readers are folded into the places where bytes are missing (policy/places.py). A place
  is at the front if somebody stands there, or will in a moment. It is served if a run will reach
  it within REACH_SECONDS; all others get a run that starts there, longest-starved first. A run
  that covers such a place further on yields its tail. Where no connection is free, a run that
  nobody reads gives way: first those for bytes nobody asked for, then the read-ahead furthest
  ahead. Where all are read, who waits gets the next connection that falls free, and runs that
  would keep one for long are cut short.
2 *Read ahead.* If nobody is left waiting, runs start where the readers will run dry next, the
  nearest first. They never take the last half of the connections while a reader lives from hand to
  mouth, so that the next one to come finds a connection free.
3 *Complete.* If every byte that somebody wants is held or on its way, the remainder follows from
  the front of the blob, over all connections.

*Run length.* With a connection for every place nobody waits, and a run lasts some TURN_SECONDS:
long beside a round trip, short enough that a newcomer finds a connection soon. With more places
than connections they take turns, and each waits for the runs of all the others: places times run
by rate. Runs are as long as keeps this at CROWD_SECONDS_MIN, or up to CROWD_SECONDS_MAX where they
would hardly be worth a request; and never so short that round trips take most of the time. Runs
started at one moment differ in length, lest they all end, and pause, at one moment.

*Hedge.* A reader without bytes for HEDGE_SECONDS does not trust the run it waits for. A run that is
silent is given up for a new one; each time the patience doubles, so that an origin that is slow to
answer does answer in the end. A run that moves, yet not fast enough, is cut before the reader.

*Small blobs* are one run for each gap, one after the other, whoever waits where: cutting a request
that is over in a moment wastes what it has in flight. Only a reader that starves opens another.

Bytes that are held or on their way by another run are never asked for, so each is fetched once, but
for what a given-up connection had in flight.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import inf

from appliance.policy.places import Place, Reader, find_places, join_places
from appliance.policy.runs import Lane, Orders, Run, RunBook
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

_KIB, _MIB = 1024, 1024 * 1024

SMALL_SIZE_BYTES = 32 * _MIB  # Over before parallel requests would have paid.
RUN_SIZE_BYTES_MIN = 64 * _KIB  # Heads of a request and its answer stay below 2 % of it.
RUN_SIZE_BYTES_MAX = 16 * _MIB  # What a connection may owe to a line that suddenly got slow.
RATE_UNMEASURED = 2_000_000.0  # A slow line: the first runs are short, and their end tells more.
TURN_SECONDS = 2.0  # A round trip of 50 ms between two runs costs one connection 2.5 %.
CROWD_SECONDS_MIN = 1.0  # Nobody notices.
CROWD_SECONDS_MAX = 3.0  # Leaves 2 seconds to the strictest client, which stops after 5.
CROWD_RUN_SECONDS = 0.5  # Ten round trips of 50 ms: what a run in a crowd should last.
ROUND_TRIP_SECONDS = 0.05  # To a CDN, where nobody measured it.
REACH_SECONDS = 0.5  # Sooner than a new request would surely answer.
HEDGE_SECONDS = 3.0  # A new connection then still delivers within the 5 seconds of old clients.
_SLACK = 1.5  # A rate that wavers does not cut runs.


def plan_runs(
    *,
    size_bytes: int,
    held: SpanSet,
    runs: Sequence[Run],
    readers: Sequence[Reader],
    rate_bytes_per_second: float | None,
    connections_max: int,
    now: float,
    round_trip_seconds: float = ROUND_TRIP_SECONDS,
) -> Orders:
    """Decide what to change about the runs under way. The orders are to be obeyed at once.

    `runs` are those that hold a connection, without any that was given up; no two of them overlap.
    A rate of None has not been measured yet; a round trip is from a request to its first byte.
    Costs a sort of the readers, and a copy of `held` where there is room to read ahead.
    """
    rate = RATE_UNMEASURED if rate_bytes_per_second is None else rate_bytes_per_second
    places = find_places(readers, held, size_bytes)
    width = max(1, len(runs), min(len(places), connections_max))
    plan = _Plan(
        size_bytes=size_bytes,
        held=held,
        book=RunBook(runs, connections_max),
        places=places,
        rate=rate,
        reach_bytes=max(RUN_SIZE_BYTES_MIN, int(rate * REACH_SECONDS / width)),
        connections_max=connections_max,
        round_trip_seconds=round_trip_seconds,
        now=now,
    )
    if size_bytes > 0 and plan.serve():
        plan.go_on()
    return plan.book.orders()


def choose_run_size(
    rate: float,
    places_count: int,
    connections_max: int,
    round_trip_seconds: float = ROUND_TRIP_SECONDS,
) -> int:
    """How many bytes a run should have, at `rate` bytes a second."""
    seconds = TURN_SECONDS  # What a run lasts if every connection gets its share.
    crowd = places_count / max(1, connections_max)
    if crowd > 1:
        seconds = min(max(CROWD_SECONDS_MIN / crowd, CROWD_RUN_SECONDS), CROWD_SECONDS_MAX / crowd)
        seconds = max(seconds, 2 * round_trip_seconds)
    size_bytes = int(rate * seconds / max(1, connections_max))
    return min(max(RUN_SIZE_BYTES_MIN, size_bytes), RUN_SIZE_BYTES_MAX)


@dataclass(slots=True, kw_only=True)
class _Plan:
    size_bytes: int
    held: SpanSet
    book: RunBook
    places: list[Place]  # Ascending.
    rate: float
    reach_bytes: int  # What a run will deliver within REACH_SECONDS.
    connections_max: int
    round_trip_seconds: float
    now: float
    run_size_bytes: int = 0

    def serve(self) -> bool:
        """Give the front its runs. False where somebody is left waiting, or may not be served."""
        front = [place for place in self.places if place.ahead_bytes <= self.reach_bytes]
        self._give_up_silent(front)
        waiting = self._find_waiting(front)
        while self.book.room < 0 and (self._give_way() or self._give_up_longest()):
            pass
        count = len(waiting) + sum(lane.is_read for lane in self.book)
        self.run_size_bytes = self._choose_run_size(count)
        served_count = self._serve_waiting(waiting)
        if served_count == len(waiting):
            return True
        self._hurry()
        return False

    def go_on(self) -> None:
        """Use the connections that are left to read ahead, and to complete the blob."""
        behind_max = min(1, self.connections_max) if self.is_small else self.connections_max
        is_anybody_dry = any(place.ahead_bytes <= self.reach_bytes for place in self.places)
        ahead_max = max(1, behind_max // 2) if is_anybody_dry else behind_max
        if self._room_under(behind_max) <= 0:
            return
        coming = SpanSet([*self.held, *self.book.spans()])
        if self._read_ahead(coming, ahead_max):
            self._complete(coming, behind_max)

    # The front.

    def _give_up_silent(self, front: list[Place]) -> None:
        for place in front:
            waited = self.now - place.fed_at
            if waited >= HEDGE_SECONDS:
                lane = self.book.find_covering(place.start)
                patience = max(HEDGE_SECONDS, waited / 2)
                if lane is not None and self.now - lane.run.moved_at >= patience:
                    self.book.give_up(lane)

    def _find_waiting(self, front: list[Place]) -> list[Place]:
        """Mark the runs that serve a place; return the places that none does, joined."""
        if self.is_small:
            return self._find_starving(front)
        waiting = []
        is_crowded = len(front) > self.connections_max
        for place in front:
            lane = self.book.find_covering(place.start)
            if lane is None or not self._will_reach(lane, place, is_crowded=is_crowded):
                waiting.append(place)
            else:
                lane.is_read = True
        # One run feeds all that are joined: even the shortest of those that may be started now.
        shortest_bytes = max(RUN_SIZE_BYTES_MIN, self._choose_run_size(len(front)) // 2)
        return join_places(waiting, min(self.reach_bytes, shortest_bytes), self._is_clear)

    def _find_starving(self, front: list[Place]) -> list[Place]:
        """Of a small blob: those whom its one run after the other leaves without bytes too long."""
        waiting = []
        for place in front:
            lane = self.book.find_covering(place.start)
            is_next = lane is not None and lane.start == place.start
            if is_next or self.now - place.fed_at < HEDGE_SECONDS:
                if lane is not None:
                    lane.is_read = True
            else:
                waiting.append(place)
        return waiting or ([] if len(self.book) else front[:1])

    def _will_reach(self, lane: Lane, place: Place, *, is_crowded: bool) -> bool:
        distance_bytes = place.start - lane.start
        is_late = self.now - place.fed_at >= HEDGE_SECONDS and not is_crowded
        return distance_bytes == 0 or (distance_bytes <= self.reach_bytes and not is_late)

    def _is_clear(self, start: int, stop: int) -> bool:
        if self.book.next_start(start, self.size_bytes) < stop:
            return False
        return next(self.held.missing(Span(start, stop))).stop == stop

    def _serve_waiting(self, waiting: list[Place]) -> int:
        """Start a run for as many as get a connection, and return how many that are."""
        starts = [place.start for place in waiting]
        spare_count = self.book.room + sum(not lane.is_read for lane in self.book)
        count_max = min(spare_count, len(waiting))
        for place in sorted(waiting, key=_by_hunger)[:count_max]:
            if self.book.room <= 0:
                self._give_way()
            lane = self.book.find_covering(place.start)
            if lane is not None:
                lane.stop = place.start
            self._begin(place.start, place.stop, self._next_barrier(place.start, starts))
        return count_max

    def _next_barrier(self, start: int, starts: list[int]) -> int:
        """Where the bytes end that a run from `start` is to fetch at most."""
        barrier = next(self.held.missing(Span(start, self.size_bytes))).stop
        index = bisect_right(starts, start)
        if index < len(starts):
            barrier = min(barrier, starts[index])
        return min(barrier, self.book.next_start(start, barrier))

    def _give_way(self) -> bool:
        return self.book.give_way(self._rank)

    def _rank(self, lane: Lane) -> float:
        """How far a run is ahead of those who want it; infinity where nobody does."""
        index = bisect_right(self.places, lane.start, key=lambda place: place.start) - 1
        if index < 0 or self.places[index].stop <= lane.start:
            return inf
        return lane.start - self.places[index].start

    def _give_up_longest(self) -> bool:
        self.book.give_up(max(self.book, key=lambda lane: lane.stop - lane.start))
        return True

    def _hurry(self) -> None:
        for lane in self.book:
            if lane.stop - lane.start > self.run_size_bytes * _SLACK:
                lane.stop = lane.start + self.run_size_bytes

    # Ahead and behind.

    def _read_ahead(self, coming: SpanSet, runs_max: int) -> bool:
        """Start runs where readers run dry next. False where there are too few connections."""
        dry = []  # How far a reader will come, where it is, how far it wants to come.
        for place in self.places:
            position = place.start - place.ahead_bytes
            dry.append((coming.held_from(place.start) - position, position, place.stop))
        heapify(dry)
        while dry:
            distance, position, stop = dry[0]
            start = coming.held_from(position + distance)
            if start >= stop:
                heappop(dry)
            elif start - position > distance:
                heapreplace(dry, (start - position, position, stop))
            elif self._room_under(runs_max) <= 0:
                return False
            else:
                barrier = next(coming.missing(Span(start, self.size_bytes))).stop
                coming.add(self._begin(start, stop, barrier))
        return True

    def _complete(self, coming: SpanSet, runs_max: int) -> None:
        for gap in coming.missing(Span(0, self.size_bytes)):
            start = gap.start
            while start < gap.stop:
                if self._room_under(runs_max) <= 0:
                    return
                start = self._begin(start, gap.stop, gap.stop).stop

    def _room_under(self, runs_max: int) -> int:
        return min(self.book.room, runs_max - len(self.book))

    # The runs.

    def _begin(self, start: int, wanted_stop: int, barrier: int) -> Span:
        """Start a run; no further than `barrier`, and little further than anybody wants it."""
        stop = min(barrier, max(wanted_stop, start + RUN_SIZE_BYTES_MIN))
        if self.is_small:
            stop = barrier
        share = 1 - self.book.begun_count / (2 * self.connections_max)
        size_bytes = max(RUN_SIZE_BYTES_MIN, int(self.run_size_bytes * share))
        if stop - start > max(size_bytes, min(int(size_bytes * _SLACK), RUN_SIZE_BYTES_MAX)):
            stop = start + size_bytes
        span = Span(start, stop)
        self.book.begin(span)
        return span

    @property
    def is_small(self) -> bool:
        return self.size_bytes <= SMALL_SIZE_BYTES

    def _choose_run_size(self, places_count: int) -> int:
        if self.is_small:
            return self.size_bytes
        return choose_run_size(
            self.rate, places_count, self.connections_max, self.round_trip_seconds
        )


def _by_hunger(place: Place) -> tuple[float, int]:
    return place.fed_at, place.start
