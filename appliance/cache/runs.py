"""Runs: the ranged requests of one fill that are under way, each a task.

Theory of operation. The plan's orders are carried out here: a run is started for a span, shortened
(its tail goes to another run), or given up, keeping what came. A run's `received` is the end of
what the origin has sent it, written or not: what the plan moves elsewhere lies behind that, so that
no byte is fetched twice. Chunks are written as they come, in a thread, and the next is received
meanwhile. A run that fails ends, and its missing bytes are the plan's again.

Trouble is one thing, however many runs meet it at once: it holds back new runs for a while, lowers
the number of connections to what still works, and is over when bytes arrive.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.cache.landing import Landing, Writer
from appliance.policy import runs as planned
from appliance.policy.backoff import choose_delay
from appliance.policy.linerate import LineRate
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span
from appliance.store.pending import PendingBlob
from appliance.upstream.source import OriginUnreachableError, Source

ROUND_TRIP_SECONDS = 0.05  # Until one was measured: a CDN on the same continent.
ROUND_TRIP_WEIGHT = 0.2  # Of the newest one: a single slow answer is not yet a slow origin.
RELENT_SECONDS = 5.0  # After so long without trouble one more connection is tried.


@dataclass(slots=True)
class _Run:
    started: int
    received: int
    stop: int
    moved_at: float
    task: asyncio.Task[None]
    is_reading: bool = True
    rate: LineRate = field(default_factory=LineRate)

    @property
    def is_over(self) -> bool:
        return self.received >= self.stop

    def cut(self, stop: int) -> None:
        """End the run at `stop`; what it has received is written all the same."""
        self.stop = max(stop, self.received)
        if self.is_over and self.is_reading:
            self.task.cancel()


class Runs:
    """The runs of one fill. `landed` is called with each span once it is readable."""

    def __init__(
        self,
        pending: PendingBlob,
        source: Source,
        group: asyncio.TaskGroup,
        writer: Writer,
        *,
        landed: Callable[[Span], None],
        changed: Callable[[], None],
    ) -> None:
        self._pending = pending
        self._source = source
        self._group = group
        self._writer = writer
        self._landed = landed
        self._changed = changed
        self._runs: dict[int, _Run] = {}
        self._next_key = 0
        self._attempt = 0
        self._held_back_until = 0.0
        self._limit: int | None = None
        self._relented_at = 0.0
        self.round_trip_seconds = ROUND_TRIP_SECONDS
        """From a request to its first byte, as measured lately."""
        self.fault: OriginUnreachableError | None = None
        """The trouble that was not waited out: no run will be started any more."""

    def __len__(self) -> int:
        return len(self._runs)

    def views(self) -> list[planned.Run]:
        """The runs as the plan sees them."""
        now = time.monotonic()
        return [
            planned.Run(key, run.received, run.stop, run.moved_at, run.rate.bytes_per_second(now))
            for key, run in self._runs.items()
            if not run.is_over
        ]

    def received(self) -> SpanSet:
        """What need not be fetched any more: what is held, and what is on its way to the disk."""
        received = SpanSet(self._pending.held)
        for run in self._runs.values():
            if run.received > run.started:
                received.add(Span(run.started, run.received))
        return received

    def allowed(self, connections_max: int, now: float) -> int:
        """How many runs there may be now: what is there while the origin is in trouble."""
        if self.fault is not None or now < self._held_back_until:
            return len(self._runs)
        if self._limit is None:
            return connections_max
        if now - self._relented_at > RELENT_SECONDS:
            self._relented_at = now
            self._limit += 1
        return min(connections_max, self._limit)

    def will_bring(self, position: int) -> bool:
        """Whether a run under way ends with the byte at `position` in it, received or to come."""
        return any(run.started <= position < run.stop for run in self._runs.values())

    def obey(self, orders: planned.Orders) -> None:
        """Carry out what the plan says."""
        for key in orders.give_up:
            self._runs[key].cut(0)
        for key, stop in orders.shorten:
            self._runs[key].cut(stop)
        for span in orders.start:
            self._start(span)

    def end(self) -> None:
        """Give up every run; what they have received is written all the same."""
        for run in self._runs.values():
            run.cut(0)

    def seconds_to_look(self, seconds_max: float) -> float:
        """When to plan again at the latest: sooner if runs may be started again before that."""
        held_back = self._held_back_until - time.monotonic()
        return min(seconds_max, held_back) if held_back > 0 else seconds_max

    def _start(self, span: Span) -> None:
        key = self._next_key
        self._next_key += 1
        task = self._group.create_task(self._follow(key, span))
        self._runs[key] = _Run(span.start, span.start, span.stop, time.monotonic(), task)

    async def _follow(self, key: int, span: Span) -> None:
        try:
            await self._fetch(self._runs[key], span)
        except OriginUnreachableError as trouble:
            self._meet(trouble, time.monotonic())
        finally:
            self._runs.pop(key, None)
            self._changed()

    async def _fetch(self, run: _Run, span: Span) -> None:
        pending = self._pending
        landing = Landing(self._writer, span.start, self._note_landed)
        opened = self._source.open_span(
            pending.repository, pending.digest, span, pending.size_bytes
        )
        try:
            asked_at = time.monotonic()
            async with opened as chunks:
                async for chunk in chunks:
                    if run.received == run.started:
                        self._note_answer(time.monotonic() - asked_at)
                    wanted = chunk[: run.stop - run.received]
                    run.received += len(wanted)
                    run.moved_at = time.monotonic()
                    run.rate.add(len(wanted), run.moved_at)
                    landing.put(wanted)
                    if run.is_over:
                        return
                    await landing.settle()
        finally:
            run.is_reading = False
            await landing.settle()

    def _note_answer(self, seconds: float) -> None:
        self.round_trip_seconds += ROUND_TRIP_WEIGHT * (seconds - self.round_trip_seconds)

    def _note_landed(self, span: Span) -> None:
        self._attempt = 0
        self._landed(span)

    def _meet(self, trouble: OriginUnreachableError, now: float) -> None:
        if now < self._held_back_until:
            return  # The same trouble, met by another run.
        self._attempt += 1
        delay = choose_delay(
            self._attempt,
            jitter=random.random(),  # noqa: S311  # Spreads requests, hides nothing.
            retry_after_seconds=trouble.retry_after_seconds,
        )
        if delay is None:
            self.fault = trouble
            return
        self._held_back_until = now + delay
        self._relented_at = now
        self._limit = max(1, len(self._runs) - 1)
