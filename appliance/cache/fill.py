"""One fill per digest: the one running effort to complete a blob, however many clients wait for it.

Theory of operation. A fill knows its readers and asks its plan, whenever something changes, which
runs to start, shorten or give up; the runs write to the pending blob, and readers are woken as
their bytes land. The digest follows the contiguous beginning in a thread, so that the commit comes
moments after the last byte. A fill belongs to the cache, not to a client: readers come and go.
Held spans are recorded every SYNC_BYTES or SYNC_SECONDS after their bytes are on disk, so that a
box that was killed fetches little again. Trouble with the source is waited out for as long as
anything still arrives now and then; a fill that gives up keeps what it holds for the next one.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from appliance.cache.landing import Writer
from appliance.cache.runs import Runs
from appliance.cache.soon import Soon
from appliance.cache.tally import Count, Tally
from appliance.policy.fillplan import plan_runs
from appliance.policy.linerate import LineRate
from appliance.policy.places import Reader
from appliance.policy.waste import choose_spare_bytes
from appliance.protocol.ranges import Span
from appliance.store.faults import DigestMismatchError, StoreError
from appliance.store.pending import PendingBlob
from appliance.upstream.source import Source

SYNC_BYTES = 64 * 1024 * 1024  # What a kill may cost at full speed: half a second of a fast line.
SYNC_SECONDS = 5.0  # And on a slow one.
HASH_BYTES = 16 * 1024 * 1024  # How far the digest may lag: hashed in ten milliseconds.
PLAN_SECONDS = 25e-6  # For each reader, between one that comes and a plan: five times its cost.
# For each reader, between bytes that land and those it is given: a turn costs what a megabyte does.
WAKE_SECONDS = 0.5e-3
WAKE_SECONDS_MAX = 0.25  # Nobody calls that a pause, and a fast line's runs bring a megabyte in it.
LOOK_SECONDS = 0.25  # Between two looks of the plan when nothing happens: readers starve by time.

_log = logging.getLogger("cache")


@dataclass(slots=True, eq=False)
class Following(Reader):
    """A reader's place in the blob.

    `is_client`: there is somebody on the network who waits for it.
    """

    is_client: bool
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class FillRestsError(Exception):
    """Nobody waits for the blob, and what nobody waits for is not to be downloaded now."""

    def __init__(self) -> None:
        super().__init__("downloads that no client waits for are paused")


class Fill:
    """The fill of one digest. Once it is `over`, `fault` tells why it did not complete its blob."""

    def __init__(
        self,
        pending: PendingBlob,
        source: Source,
        tally: Tally,
        *,
        now: Callable[[], float],
        connections: Callable[[], int] = lambda: 1,
    ) -> None:
        """`connections` tells how many requests at once this fill may have at the moment."""
        self.pending = pending
        self.file_fd = pending.open_reader()  # Open until the fill is over, committed or not.
        self.fault: Exception | None = None
        self.over = asyncio.Event()
        self._source = source
        self._tally = tally
        self._now = now
        self.connections = connections
        self._readers: set[Following] = set()
        self._client_left_at = -inf
        self._rests = False
        self._rate = LineRate()
        self._spare_bytes = choose_spare_bytes(pending.size_bytes)
        self._runs: Runs | None = None
        self._changed = asyncio.Event()
        self._planning = Soon(self._changed.set)
        self._waking = Soon(self._wake)
        self._unsynced_bytes = 0
        self._unhashed_bytes = 0
        self._hash_due = asyncio.Event()
        self._sync_due = asyncio.Event()

    async def run(self) -> None:
        """Fetch what is missing and commit. Raises nothing: what went wrong is left in `fault`."""
        try:
            await self._complete()
        except asyncio.CancelledError:
            _let_go(self.pending.suspend)
            raise
        except DigestMismatchError as fault:
            self.fault = fault
            self._tally.add(Count.MISMATCHES)
        except (StoreError, OSError) as fault:  # The disk takes no more: readers stream on.
            self.fault = fault
            await asyncio.to_thread(_let_go, self.pending.cancel)
        except Exception as fault:  # noqa: BLE001  # One blob's accident is not the box's end.
            self.fault = fault
            await asyncio.to_thread(_let_go, self.pending.suspend)
        finally:
            self._end()

    @property
    def is_over(self) -> bool:
        """Whether it has ended, with or without its blob."""
        return self.over.is_set()

    def abandon(self) -> None:
        """End a fill whose `run` was cancelled before its first step. Blocks."""
        if not self.is_over:
            _let_go(self.pending.suspend)
            self._end()

    def rest(self) -> None:
        """End, keep what is held, and leave the rest to another fill."""
        self._rests = True
        self._changed.set()

    def unwanted_seconds(self, now: float) -> float:
        """For how long no client has waited for it; infinity if none ever did."""
        if any(each.is_client for each in self._readers):
            return 0.0
        return now - self._client_left_at

    def follow(self, span: Span, *, is_client: bool = True) -> Following:
        """Take part as a reader of `span`, until `unfollow`."""
        following = Following(span.start, span.stop, time.monotonic(), is_client)
        self._rests = self._rests and not is_client
        self._readers.add(following)
        self._plan_soon()
        return following

    def unfollow(self, following: Following) -> None:
        """Leave; once or more."""
        if following in self._readers and following.is_client:
            self._client_left_at = time.monotonic()
        self._readers.discard(following)
        self._plan_soon()

    def _plan_soon(self) -> None:
        """Plan anew once those are counted who come or leave together: each plan looks at all."""
        self._planning.ask(len(self._readers) * PLAN_SECONDS)

    async def read_on(self, following: Following) -> Span | None:
        """Wait for the reader's next bytes, and count them as given to it.

        None when it has all, or when the fill is over and no more will come.
        """
        while following.position < following.stop:
            start = following.position
            stop = min(self.pending.held.held_from(start), following.stop)
            if stop > start:
                following.position, following.fed_at = stop, time.monotonic()
                return Span(start, stop)
            if self.is_over:
                return None
            following.woken.clear()
            if self._runs is None or not self._runs.will_bring(start):
                self._changed.set()
            await following.woken.wait()
        return None

    async def _complete(self) -> None:
        try:
            with Writer(self.pending) as writer:
                async with asyncio.TaskGroup() as group:
                    runs = self._runs = Runs(
                        self.pending,
                        self._source,
                        group,
                        writer,
                        landed=self._land,
                        changed=self._changed.set,
                    )
                    chores = [
                        group.create_task(each) for each in (self._hash_along(), self._sync_along())
                    ]
                    await self._direct(runs)
                    for chore in chores:
                        chore.cancel()
        except BaseExceptionGroup as faults:  # Of runs that met the same full disk, say.
            raise _first(faults) from faults
        await asyncio.to_thread(self.pending.commit, stored_at=self._now())
        self._tally.add(Count.FILLS)

    async def _direct(self, runs: Runs) -> None:
        """Let the plan decide again and again, until all is held."""
        pending = self.pending
        while pending.held.size_bytes < pending.size_bytes:
            self._changed.clear()
            if runs.fault is not None and not len(runs):
                raise runs.fault
            if self._rests:
                raise FillRestsError
            now = time.monotonic()
            orders = plan_runs(
                size_bytes=pending.size_bytes,
                held=runs.received(),
                runs=runs.views(),
                readers=[each for each in self._readers if each.position < each.stop],
                rate_bytes_per_second=self._rate.bytes_per_second(now),
                connections_max=runs.allowed(self.connections(), now),
                now=now,
                round_trip_seconds=runs.round_trip_seconds,
                spare_bytes=self._spare_bytes,
            )
            self._spare_bytes -= orders.thrown_bytes
            runs.obey(orders)
            with suppress(TimeoutError):
                async with asyncio.timeout(runs.seconds_to_look(LOOK_SECONDS)):
                    await self._changed.wait()
        self._wake()  # There is nothing more to wait for.
        runs.end()

    def _land(self, span: Span) -> None:
        """Count `span`, which has just become readable, and wake who waits for it, soon."""
        now = time.monotonic()
        self._tally.add(Count.FETCHED_BYTES, span.size_bytes)
        if self.unwanted_seconds(now) == inf:
            self._tally.add(Count.UNASKED_BYTES, span.size_bytes)
        self._rate.add(span.size_bytes, now)
        self._waking.ask(min(len(self._readers) * WAKE_SECONDS, WAKE_SECONDS_MAX))
        self._unhashed_bytes += span.size_bytes
        if self._unhashed_bytes >= HASH_BYTES:
            self._hash_due.set()
        self._unsynced_bytes += span.size_bytes
        if self._unsynced_bytes >= SYNC_BYTES:
            self._sync_due.set()

    def _wake(self) -> None:
        """Wake all whose next byte is held."""
        held = self.pending.held
        starved: set[int] = set()  # A class is in step: hundreds wait at the same few bytes.
        for each in self._readers:
            position = each.position
            if each.woken.is_set() or position in starved:
                continue
            if held.held_from(position) > position:
                each.woken.set()
            else:
                starved.add(position)

    async def _hash_along(self) -> None:
        """Keep the digest close behind the contiguous beginning."""
        while True:
            await self._hash_due.wait()
            self._hash_due.clear()
            self._unhashed_bytes = 0
            await asyncio.to_thread(self.pending.hash_along)

    async def _sync_along(self) -> None:
        """Make what is held survive a kill, every so many bytes or seconds."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SYNC_SECONDS):
                    await self._sync_due.wait()
            self._sync_due.clear()
            if self._unsynced_bytes:
                self._unsynced_bytes = 0
                await asyncio.to_thread(self.pending.sync)

    def _end(self) -> None:
        self.over.set()
        self._planning.cancel()
        self._waking.cancel()
        self._runs = None
        os.close(self.file_fd)
        for each in self._readers:
            each.woken.set()


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """One fault for many: the disk's before the origin's, as it ends the fill for good."""
    disk = faults.subgroup((StoreError, OSError))
    fault: BaseException = disk or faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault


def _let_go(leave: Callable[[], None]) -> None:
    """Close a pending blob; a disk that cannot even do that must not hide why it is left."""
    try:
        leave()
    except (StoreError, OSError) as fault:
        _log.warning("a fill was not left in order: %s", fault)
