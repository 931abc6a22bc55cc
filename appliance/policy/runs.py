"""The runs under way while a plan is made: which there are, and what is ordered of them.

The book holds every rule about slots and overlaps, so that no plan, however it decides, can order
more runs than there are connections, or name a run that does not exist.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from appliance.policy.waste import Purse
from appliance.protocol.ranges import Span


@dataclass(frozen=True, slots=True)
class Run:
    """One upstream request under way."""

    key: int
    start: int  # Its watermark: the next byte to arrive. Those before it are held.
    stop: int
    moved_at: float  # Monotonic seconds: when bytes last arrived, or it was started.
    rate: float | None = None  # Bytes a second of late; None until that is known.


@dataclass(frozen=True, slots=True)
class Orders:
    """What a fill is to do now: first `give_up` and `shorten`, which make room for `start`."""

    start: tuple[Span, ...] = ()
    shorten: tuple[tuple[int, int], ...] = ()  # The key of a run, and its new stop.
    give_up: tuple[int, ...] = ()  # Keys. What came is kept.
    thrown_bytes: int = 0  # An estimate of what comes in vain by those cut or given up.


@dataclass(slots=True, eq=False)
class Lane:
    """A run under way, and what the plan makes of it."""

    run: Run
    stop: int
    is_read: bool = False  # A reader follows it, or soon will.

    @property
    def start(self) -> int:
        return self.run.start

    @property
    def seconds(self) -> float | None:
        """How long it will still take at the rate it has; None where that is not known."""
        return (self.stop - self.start) / self.run.rate if self.run.rate else None

    def rate_share(self, rate: float) -> float:
        """Its part of the bytes if it shares them with a run of `rate`, and both end at once."""
        own = self.run.rate or 0.0
        return own / (own + max(own, rate, 1.0))


class RunBook:
    """The runs that a plan keeps, cuts, gives up and starts."""

    def __init__(
        self, runs: Iterable[Run], connections_max: int, purse: Purse | None = None
    ) -> None:
        self._lanes = [Lane(run, run.stop) for run in sorted(runs, key=lambda run: run.start)]
        self._starts = [lane.start for lane in self._lanes]
        self._connections_max = connections_max
        self._purse = purse or Purse()
        self._begun: list[Span] = []
        self._given_up: list[int] = []

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes)

    def __len__(self) -> int:
        return len(self._lanes) + len(self._begun)

    @property
    def begun_count(self) -> int:
        return len(self._begun)

    @property
    def room(self) -> int:
        """How many more runs may be started. Negative where runs must be given up."""
        return self._connections_max - len(self)

    def find_covering(self, position: int) -> Lane | None:
        """The run that `position` is still to arrive by."""
        index = bisect_right(self._starts, position) - 1
        if index >= 0 and position < self._lanes[index].stop:
            return self._lanes[index]
        return None

    def next_start(self, position: int, default: int) -> int:
        """Where the first run beyond `position` begins."""
        index = bisect_right(self._starts, position)
        return self._starts[index] if index < len(self._starts) else default

    def begin(self, span: Span) -> None:
        assert self.room > 0, "a run is only started where a connection is free"
        self._begun.append(span)

    def affords(self, lane: Lane, stop: int) -> bool:
        """Whether there is something to spare for ending a run at `stop`."""
        return self._purse.affords(lane.stop - stop, lane.run.rate)

    def cut(self, lane: Lane, stop: int) -> None:
        """End a run at `stop`, whatever that costs."""
        self._purse.pay(lane.stop - stop, lane.run.rate)
        lane.stop = stop

    def give_up(self, lane: Lane) -> None:
        self._purse.pay(lane.stop - lane.start, lane.run.rate)
        index = self._lanes.index(lane)
        del self._lanes[index], self._starts[index]
        self._given_up.append(lane.run.key)

    def give_way(self, rank: Callable[[Lane], float], may: Callable[[Lane], bool]) -> bool:
        """Give up the highest ranking run that nobody reads and that `may` be given up, if any."""
        spare = [lane for lane in self._lanes if not lane.is_read and may(lane)]
        if spare:
            self.give_up(max(spare, key=rank))
        return bool(spare)

    def spans(self) -> Iterator[Span]:
        """All that is still to arrive by runs, kept or to be started."""
        yield from (Span(lane.start, lane.stop) for lane in self._lanes if lane.start < lane.stop)
        yield from self._begun

    def orders(self) -> Orders:
        cut = tuple((lane.run.key, lane.stop) for lane in self._lanes if lane.stop < lane.run.stop)
        return Orders(tuple(self._begun), cut, tuple(self._given_up), self._purse.spent_bytes)
