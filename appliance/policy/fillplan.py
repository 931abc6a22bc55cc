"""What a fill fetches next: which runs to start, which to cut short, which to give up.

Theory of operation. A fill has a few connections and any number of readers, and a line that gives
a certain rate in all, however many connections share it. The plan is a function of what it is
handed and keeps nothing between two calls. It decides in three steps.

1 *Serve.* Readers are folded into the places where bytes are missing (policy/places.py). A place
  is at the front if somebody stands there, or will in a moment. It is served if a run will reach
  it within REACH_SECONDS; all others get a run that starts there, longest-starved first. A run
  that covers such a place further on yields its tail. Where no connection is free, a run that
  nobody reads gives way: first those for bytes nobody asked for, then the read-ahead furthest
  ahead; but none that is over in a moment. Where all are read, who waits gets the next connection
  that falls free, and runs that would keep one for long are cut short.
2 *Read ahead.* If nobody is left waiting, runs start where the readers will run dry next, the
  nearest first. While a reader lives from hand to mouth they leave one connection to the next one
  to come; and those over half of the connections, on a fast line all, are short, so that more fall
  free soon.
3 *Complete.* If every byte that somebody wants is held or on its way, the remainder follows from
  the front of the blob, over all connections. When nothing is left to start, idle connections take
  over the most of what crawls on others, so that no slow one holds up the end.

*Waste.* A request that ends early has bytes on their way, and those are fetched again. So each cut
has a price (policy/waste.py), and a fill so much to spend on them; when that is gone nothing is cut
but for a reader that has waited HEDGE_SECONDS. Runs are short until the rate is known, so that
those who come first need not cut any.

*Run length.* With a connection for every place nobody waits, and a run lasts some TURN_SECONDS:
long beside a round trip, short enough that a newcomer finds a connection soon. With more places
than connections they take turns, and each waits for the runs of all the others: places times run
by rate. Runs are as long as keeps this at a second or so (less on a fast line, where people expect
it), or up to CROWD_SECONDS_MAX where they would hardly be worth a request; and never so short that
round trips take most of the time. Where even the shortest runs keep hundreds waiting longer, they
wait: half a second for each place, by a megabyte a second over sixteen connections, is not to be
had with less than a request for every few kilobytes. Runs
started at one moment differ in length, lest they all end, and pause, at one moment; and no run is
longer than its share of what is left to start, lest some connections end long before the others.

*Hedge.* A reader without bytes for HEDGE_SECONDS does not trust the run it waits for. A run that is
silent is given up for a new one; each time the patience doubles, so that an origin that is slow to
answer does answer in the end. A run that moves, yet not fast enough, is cut before the reader.

*Small blobs* are one run for each gap, one after the other, whoever waits where: cutting a request
that is over in a moment wastes what it has in flight. Only a reader that starves opens another.

Bytes that are held or on their way by another run are never asked for, so each is fetched once, but
for what a given-up connection had in flight.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import inf

from appliance.policy.places import Place, Reader, find_places, join_places
from appliance.policy.runs import Lane, Orders, Run, RunBook
from appliance.policy.spans import SpanSet
from appliance.policy.waste import Purse
from appliance.protocol.ranges import Span

_KIB, _MIB = 1024, 1024 * 1024

SMALL_SIZE_BYTES = 32 * _MIB  # Over before parallel requests would have paid.
RUN_SIZE_BYTES_MIN = 64 * _KIB  # Heads of a request and its answer stay below 2 % of it.
RUN_SIZE_BYTES_MAX = 16 * _MIB  # What a connection may owe to a line that suddenly got slow.
RATE_UNMEASURED = 500_000.0  # A slow line: the first runs are as short as can be.
TURN_SECONDS = 2.0  # A round trip of 50 ms between two runs costs one connection 2.5 %.
AHEAD_SECONDS = 0.75  # What read-ahead that is in the way lasts: a newcomer waits no longer.
SHARE_TRIPS = 4  # Round trips that a run at the end should last: shorter ones would idle too much.
CROWD_SECONDS_MAX = 3.0  # Leaves 2 seconds to the strictest client, which stops after 5.
CROWD_RUN_SIZE_BYTES_MIN = 32 * _KIB  # Heads cost 4 %, and hundreds of places wait half as long.
FAST_RATE = 90e6  # A gigabit line, less what a window may miss of it.
FAST_CROWD = 0.6, 0.12  # Seconds to wait for a turn, and that a run should last in any case.
SLOW_CROWD = 1.5, 0.5  # Ten round trips of 50 ms.
ROUND_TRIP_SECONDS = 0.05  # To a CDN, where nobody measured it.
REACH_SECONDS = 0.5  # Sooner than a new request would surely answer.
HEDGE_SECONDS = 3.0  # A new connection then still delivers within the 5 seconds of old clients.
CRAWL_SECONDS = 2.0  # Longer than a run of the end takes: what others then take over is worth it.
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
    spare_bytes: float = inf,
) -> Orders:
    """Decide what to change about the runs under way. The orders are to be obeyed at once.

    `runs` are those that hold a connection, without any that was given up; no two of them overlap.
    A rate of None has not been measured yet; a round trip is from a request to its first byte.
    `spare_bytes` may be fetched in vain for the sake of who waits; the orders tell what they cost.
    Costs a sort of the readers, and a copy of `held` where there is room to read ahead.
    """
    rate = RATE_UNMEASURED if rate_bytes_per_second is None else rate_bytes_per_second
    places = find_places(readers, held, size_bytes)
    width = max(1, len(runs), min(len(places), connections_max))
    plan = _Plan(
        size_bytes=size_bytes,
        held=held,
        book=RunBook(runs, connections_max, Purse(spare_bytes, round_trip_seconds)),
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
    crowd = places_count / max(1, connections_max)
    seconds, size_bytes_min = TURN_SECONDS, RUN_SIZE_BYTES_MIN
    if crowd > 1:
        wait_seconds, least_seconds = FAST_CROWD if rate >= FAST_RATE else SLOW_CROWD
        seconds = min(max(wait_seconds / crowd, least_seconds), CROWD_SECONDS_MAX / crowd)
        seconds = max(seconds, 2 * round_trip_seconds)
        turn_bytes = int(rate * CROWD_SECONDS_MAX / places_count)
        size_bytes_min = min(max(CROWD_RUN_SIZE_BYTES_MIN, turn_bytes), RUN_SIZE_BYTES_MIN)
    size_bytes = int(rate * seconds / max(1, connections_max))  # Each connection gets its share.
    return min(max(size_bytes_min, size_bytes), RUN_SIZE_BYTES_MAX)


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
    is_polite: bool = False  # Somebody may come, and should find a connection.
    _share_bytes: int = 0

    def serve(self) -> bool:
        """Give the front its runs. False where somebody is left waiting, or may not be served."""
        front = [place for place in self.places if place.ahead_bytes <= self.reach_bytes]
        self._give_up_silent(front)
        waiting = self._find_waiting(front)
        while self.book.room < 0 and (self._give_way(_always) or self._give_up_longest()):
            pass
        count = len(waiting) + sum(lane.is_read for lane in self.book)
        self.run_size_bytes = self._choose_run_size(count)
        self._share_bytes = self._choose_share()
        if self._serve_waiting(waiting):
            return True
        self._hurry()
        return False

    def go_on(self) -> None:
        """Use the connections that are left to read ahead, and to complete the blob."""
        behind_max = min(1, self.connections_max) if self.is_small else self.connections_max
        if self._room_under(behind_max) <= 0:
            return
        coming = SpanSet([*self.held, *self.book.spans()])
        self.is_polite = any(place.ahead_bytes <= self.reach_bytes for place in self.places)
        if self._read_ahead(coming, max(1, behind_max - self.is_polite)):
            self._complete(coming, behind_max)
            self._relieve()

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
        is_late = self._is_late(place) and not is_crowded
        return distance_bytes == 0 or (distance_bytes <= self.reach_bytes and not is_late)

    def _is_clear(self, start: int, stop: int) -> bool:
        if self.book.next_start(start, self.size_bytes) < stop:
            return False
        return next(self.held.missing(Span(start, stop))).stop == stop

    def _serve_waiting(self, waiting: list[Place]) -> bool:
        """Start a run for as many as get a connection; False where somebody gets none."""
        starts = [place.start for place in waiting]
        for place in sorted(waiting, key=_by_hunger):
            lane = self.book.find_covering(place.start)
            if lane is not None and not self._may_cut(lane, place):
                lane.is_read = True
                continue
            if self.book.room <= 0 and not self._give_way(self._may_end_for(place)):
                return False
            lane = self.book.find_covering(place.start)
            if lane is not None:
                self.book.cut(lane, place.start)
            self._begin(place.start, place.stop, self._next_barrier(place.start, starts))
        return True

    def _may_cut(self, lane: Lane, place: Place) -> bool:
        """Whether a run may yield its tail to a place that it will not reach soon."""
        return self._is_late(place) or self.book.affords(lane, place.start)

    def _may_end_for(self, place: Place) -> Callable[[Lane], bool]:
        """Which runs may be given up for a place: any for one that starves, else no dear ones."""
        if self._is_late(place):
            return _always
        return lambda lane: not _is_soon_over(lane) and self.book.affords(lane, lane.start)

    def _is_late(self, place: Place) -> bool:
        return self.now - place.fed_at >= HEDGE_SECONDS

    def _next_barrier(self, start: int, starts: list[int]) -> int:
        """Where the bytes end that a run from `start` is to fetch at most."""
        barrier = next(self.held.missing(Span(start, self.size_bytes))).stop
        index = bisect_right(starts, start)
        if index < len(starts):
            barrier = min(barrier, starts[index])
        return min(barrier, self.book.next_start(start, barrier))

    def _give_way(self, may: Callable[[Lane], bool]) -> bool:
        return self.book.give_way(self._rank, may)

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
            stop = lane.start + self.run_size_bytes
            is_long = lane.stop - lane.start > self.run_size_bytes * _SLACK
            if is_long and self.book.affords(lane, stop):
                self.book.cut(lane, stop)

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

    def _relieve(self) -> None:
        """Start what crawling runs would take long for, where connections are idle."""
        rate_each = self.rate / max(1, self.connections_max)
        for lane in sorted(self.book, key=lambda lane: lane.seconds or 0.0, reverse=True):
            seconds, stop = lane.seconds, lane.stop
            if self.book.room <= 0 or seconds is None or seconds <= CRAWL_SECONDS:
                return
            kept_bytes = int((stop - lane.start) * lane.rate_share(rate_each))
            cut = lane.start + max(1, kept_bytes)
            if cut < stop and self.book.affords(lane, cut):
                self.book.cut(lane, cut)
                while cut < stop and self.book.room > 0:
                    cut = self._begin(cut, stop, stop).stop

    def _room_under(self, runs_max: int) -> int:
        return min(self.book.room, runs_max - len(self.book))

    # The runs.

    def _begin(self, start: int, wanted_stop: int, barrier: int) -> Span:
        """Start a run; no further than `barrier`, and little further than anybody wants it."""
        stop = min(barrier, max(wanted_stop, start + RUN_SIZE_BYTES_MIN))
        if self.is_small:
            stop = barrier
        share = 1 - self.book.begun_count / (2 * self.connections_max)
        size_bytes = min(int(self.run_size_bytes * share), self._share_bytes)
        if self.is_polite and self._is_in_the_way():
            size_bytes = min(size_bytes, int(self.rate * AHEAD_SECONDS / self.connections_max))
        size_bytes = max(min(RUN_SIZE_BYTES_MIN, self.run_size_bytes), size_bytes)
        if stop - start > max(size_bytes, min(int(size_bytes * _SLACK), RUN_SIZE_BYTES_MAX)):
            stop = start + size_bytes
        span = Span(start, stop)
        self.book.begin(span)
        return span

    def _is_in_the_way(self) -> bool:
        """Whether another run for read-ahead might keep a newcomer waiting."""
        return len(self.book) >= self.connections_max // 2 or self.rate >= FAST_RATE

    @property
    def is_small(self) -> bool:
        return self.size_bytes <= SMALL_SIZE_BYTES

    def _choose_share(self) -> int:
        """What one connection should fetch of all that no run does yet."""
        if self.is_small:
            return self.size_bytes
        left_bytes = self.size_bytes - self.held.size_bytes
        left_bytes -= sum(lane.stop - lane.start for lane in self.book)
        connections = max(1, self.connections_max)
        floor = self.rate * SHARE_TRIPS * self.round_trip_seconds / connections
        return max(left_bytes // connections, int(floor))

    def _choose_run_size(self, places_count: int) -> int:
        if self.is_small:
            return self.size_bytes
        return choose_run_size(
            self.rate, places_count, self.connections_max, self.round_trip_seconds
        )


def _always(lane: Lane) -> bool:
    return True


def _is_soon_over(lane: Lane) -> bool:
    seconds = lane.seconds
    is_short = seconds is not None and seconds <= REACH_SECONDS
    return is_short or lane.stop - lane.start <= RUN_SIZE_BYTES_MIN


def _by_hunger(place: Place) -> tuple[float, int]:
    return place.fed_at, place.start
