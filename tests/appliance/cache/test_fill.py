"""A fill alone: what it fetches, what it keeps, and how it ends."""

import asyncio
import errno
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from appliance.cache import fill as fill_module
from appliance.cache import runs as runs_module
from appliance.cache.fill import Fill
from appliance.cache.tally import Count, Tally
from appliance.policy import backoff
from appliance.policy.fillplan import plan_runs
from appliance.policy.runs import Orders
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.faults import DigestMismatchError, StoreFullError
from appliance.store.store import Store
from appliance.upstream.source import OriginMisbehavedError, OriginUnreachableError
from tests.appliance.cache.pulling import CONTENT, DIGEST, TINY, Clock, until
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)
AWAY: Exception = OriginUnreachableError("the line is cut")


class Filler:
    """Makes fills of one store from one source."""

    def __init__(self, store: Store, source: FakeSource, clock: Clock) -> None:
        self.tally = Tally()
        self._store, self._source, self._clock = store, source, clock

    def make(self, content: bytes = CONTENT, size_bytes: int | None = None) -> Fill:
        size_bytes = len(content) if size_bytes is None else size_bytes
        pending = self._store.begin(digest_of(content), size_bytes, TINY, min_free_bytes=0)
        return Fill(pending, self._source, self.tally, now=self._clock)

    async def run(self, fill: Fill | None = None) -> Fill:
        fill = fill or self.make()
        await fill.run()
        return fill

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Fill, asyncio.Task[None]]]:
        fill = self.make()
        async with asyncio.TaskGroup() as group:
            yield fill, group.create_task(fill.run())


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)


@pytest.fixture
def filler(store: Store, source: FakeSource, clock: Clock) -> Filler:
    source.blobs[DIGEST] = CONTENT
    return Filler(store, source, clock)


async def test_all_bytes_come_and_the_blob_is_there(
    filler: Filler, store: Store, source: FakeSource, clock: Clock
) -> None:
    fill = await filler.run()
    assert fill.fault is None
    assert fill.is_over
    record = store.find_blob(DIGEST)
    assert record is not None
    assert (record.size_bytes, record.stored_at) == (SIZE, clock.now)
    assert source.spans == [Span(0, SIZE)]
    assert filler.tally.since_start == {
        Count.FETCHED_BYTES: SIZE,
        Count.UNASKED_BYTES: SIZE,  # Nobody follows this one.
        Count.FILLS: 1,
    }


async def test_the_empty_blob_needs_no_request(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    fill = await filler.run(filler.make(b""))
    assert fill.fault is None
    assert store.find_blob(digest_of(b"")) is not None
    assert source.asked == []


async def read(fill: Fill, start: int) -> Span | None:
    """What a reader that stands at `start` is given next."""
    following = fill.follow(Span(start, fill.pending.size_bytes))
    try:
        return await fill.read_on(following)
    finally:
        fill.unfollow(following)


async def test_a_reader_is_told_of_bytes_as_they_land(filler: Filler, source: FakeSource) -> None:
    source.gates[3000] = asyncio.Event()
    async with filler.running() as (fill, _):
        assert await read(fill, 0) is not None
        await until(lambda: fill.pending.held.size_bytes == 3000)
        assert await read(fill, 2999) == Span(2999, 3000)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(read(fill, 3000))
            await until(lambda: source.sent_bytes == 3000)
            assert not waiting.done()
            source.gates[3000].set()
        span = waiting.result()
        assert span is not None
        assert span.start == 3000
    assert await read(fill, 0) == Span(0, SIZE)


async def test_who_comes_together_is_planned_for_together(
    filler: Filler, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "LOOK_SECONDS", 60.0)  # Only what happens has it plan.
    monkeypatch.setattr(fill_module, "PLAN_SECONDS", 60.0)
    plans: list[Any] = []

    def plan(**known: Any) -> Orders:
        plans.append(known["readers"])
        return plan_runs(**known)

    monkeypatch.setattr(fill_module, "plan_runs", plan)
    source.gates[3000] = asyncio.Event()
    async with filler.running() as (fill, _):
        await until(lambda: fill.pending.held.size_bytes == 3000)
        before = len(plans)
        for _ in range(50):
            fill.follow(Span(0, SIZE))
            await asyncio.sleep(0)
        assert len(plans) == before
        monkeypatch.setattr(fill_module, "PLAN_SECONDS", 0.0)
        fill._planning.cancel()
        fill.follow(Span(0, SIZE))
        await until(lambda: len(plans) == before + 1)
        assert len(plans[-1]) == 51
        source.gates[3000].set()


async def test_readers_are_woken_together_and_all_when_it_is_over(
    filler: Filler, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "WAKE_SECONDS", 60.0)
    monkeypatch.setattr(fill_module, "WAKE_SECONDS_MAX", 60.0)
    source.gates[0] = source.gates[3000] = asyncio.Event()
    async with filler.running() as (fill, _), asyncio.TaskGroup() as group:
        waiting = [group.create_task(read(fill, 0)) for _ in range(3)]
        await asyncio.sleep(0)
        source.gates[0].set()
    assert [each.result() for each in waiting] == [Span(0, SIZE)] * 3


async def test_a_reader_is_given_its_own_span_and_no_more(filler: Filler) -> None:
    async with filler.running() as (fill, _):
        following = fill.follow(Span(100, 200))
        spans = []
        while (span := await fill.read_on(following)) is not None:
            spans.append(span)
        assert (spans[0].start, spans[-1].stop) == (100, 200)
        fill.unfollow(following)


async def test_trouble_is_waited_out_and_no_byte_fetched_twice(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    source.troubles = [(2500, AWAY), (0, AWAY), (1, AWAY), (4000, AWAY)]
    fill = await filler.run()
    assert fill.fault is None
    assert store.find_blob(DIGEST) is not None
    assert source.sent_bytes == SIZE
    assert [span.start for span in source.spans] == [0, 2500, 2500, 2501, 6501]
    assert all(span.stop == SIZE for span in source.spans)


async def test_an_origin_that_still_gives_now_and_then_is_not_given_up(
    filler: Filler, source: FakeSource
) -> None:
    source.troubles = [(500, AWAY)] * 20
    fill = await filler.run()
    assert fill.fault is None
    assert source.sent_bytes == SIZE


async def test_it_gives_up_and_the_next_one_resumes(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    source.troubles = [(2500, AWAY)] + [(0, AWAY)] * (backoff.ATTEMPTS_MAX - 1)
    fill = await filler.run()
    assert fill.fault is AWAY
    assert store.find_blob(DIGEST) is None
    assert len(source.spans) == backoff.ATTEMPTS_MAX
    (note,) = store.unfinished()
    assert list(note.held) == [Span(0, 2500)]
    source.troubles.clear()
    assert (await filler.run()).fault is None
    assert source.spans[-1] == Span(2500, SIZE)
    assert source.sent_bytes == SIZE


async def test_the_origin_s_own_time_is_kept_to(
    filler: Filler, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float | None] = []

    def choose(attempt: int, *, jitter: float, retry_after_seconds: float | None) -> float | None:
        asked.append(retry_after_seconds)
        return 0.0 if attempt < 3 else None

    monkeypatch.setattr(runs_module, "choose_delay", choose)
    busy = OriginUnreachableError("busy", retry_after_seconds=7.0)
    source.troubles = [(0, busy), (0, AWAY), (0, busy)]
    assert (await filler.run()).fault is busy
    assert asked == [7.0, None, 7.0]


async def test_nothing_of_nothing_is_kept(filler: Filler, store: Store, source: FakeSource) -> None:
    source.is_away = True
    fill = await filler.run()
    assert isinstance(fill.fault, OriginUnreachableError)
    assert store.unfinished() == ()
    assert store.stats().pending_count == 0


async def test_wrong_bytes_are_never_a_blob(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    source.blobs[DIGEST] = b"\1" + CONTENT[1:]
    fill = await filler.run()
    assert isinstance(fill.fault, DigestMismatchError)
    assert store.find_blob(DIGEST) is None
    assert filler.tally.since_start[Count.MISMATCHES] == 1
    assert Count.FILLS not in filler.tally.since_start
    source.blobs[DIGEST] = CONTENT
    assert (await filler.run()).fault is None


@pytest.mark.parametrize("listed", [SIZE - 1, SIZE + 1, 1, 10 * SIZE])
async def test_a_size_that_the_manifest_has_wrong_is_never_a_blob(
    filler: Filler, store: Store, listed: int
) -> None:
    fill = await filler.run(filler.make(size_bytes=listed))
    assert isinstance(fill.fault, OriginMisbehavedError)
    assert store.find_blob(DIGEST) is None
    assert store.stats().pending_count == 0
    assert (await filler.run()).fault is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_disk_that_fails_ends_it_and_leaves_nothing(
    filler: Filler, store: Store, disk: FailingDisk, number: int
) -> None:
    disk.fail("write_at", number, after=3)
    fill = await filler.run()
    assert isinstance(fill.fault, StoreFullError | OSError)
    assert fill.pending.held.size_bytes == 3000
    assert store.stats().pending_count == 0
    disk.heal()
    assert (await filler.run()).fault is None


async def test_what_a_full_disk_had_taken_is_given_back(
    filler: Filler, store: Store, disk: FailingDisk
) -> None:
    """Also where there is room again a moment later: others wait for it."""
    disk.fail("write_at", errno.ENOSPC, after=3, is_passing=True)
    fill = await filler.run()
    assert isinstance(fill.fault, StoreFullError)
    assert store.unfinished() == ()
    assert not any((store.root / "pending").iterdir())


@pytest.mark.parametrize("operation", ["sync", "rename", "sync_directory"])
async def test_a_commit_that_fails_leaves_no_blob(
    filler: Filler, store: Store, disk: FailingDisk, operation: str
) -> None:
    disk.fail(operation, errno.ENOSPC)
    fill = await filler.run()
    assert isinstance(fill.fault, StoreFullError)
    assert store.find_blob(DIGEST) is None
    disk.heal()
    assert (await filler.run()).fault is None
    assert store.find_blob(DIGEST) is not None


async def test_an_origin_away_and_a_full_disk_at_once_are_one_fault_told(
    filler: Filler,
    source: FakeSource,
    disk: FailingDisk,
    store: Store,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source.troubles = [(2500, AWAY)] + [(0, AWAY)] * (backoff.ATTEMPTS_MAX - 1)
    disk.fail("sync_data", errno.ENOSPC)
    with caplog.at_level(logging.WARNING):
        fill = await filler.run()
    assert fill.fault is AWAY
    assert "not left in order" in caplog.text
    assert store.stats().pending_count == 0


async def test_an_accident_nobody_thought_of_ends_only_this_fill(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    source.troubles = [(2500, ValueError("not a URL"))]
    fill = await filler.run()
    assert isinstance(fill.fault, ValueError)
    (note,) = store.unfinished()
    assert note.held.size_bytes == 2500
    assert (await filler.run()).fault is None
    assert source.sent_bytes == SIZE


async def test_cancelled_it_keeps_what_it_holds(
    filler: Filler, store: Store, source: FakeSource
) -> None:
    source.gates[3000] = asyncio.Event()
    async with filler.running() as (fill, task):
        await until(lambda: fill.pending.held.size_bytes == 3000)
        task.cancel()
    assert task.cancelled()
    assert fill.is_over
    (note,) = store.unfinished()
    assert list(note.held) == [Span(0, 3000)]
    assert await read(fill, 3000) is None


async def test_cancelled_on_a_full_disk_it_is_cancelled_all_the_same(
    filler: Filler, source: FakeSource, disk: FailingDisk
) -> None:
    source.gates[3000] = asyncio.Event()
    async with filler.running() as (fill, task):
        await until(lambda: fill.pending.held.size_bytes == 3000)
        disk.fail("sync_data", errno.ENOSPC)
        task.cancel()
    assert task.cancelled()


async def test_abandoned_before_its_first_step_it_leaves_nothing_open(
    filler: Filler, store: Store
) -> None:
    fill = filler.make()
    fill.abandon()
    fill.abandon()
    assert fill.is_over
    assert store.stats().pending_count == 0


async def test_held_bytes_are_noted_on_the_way(
    filler: Filler, store: Store, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "SYNC_BYTES", 2000)
    synced: list[int] = []
    fill = filler.make()
    sync = fill.pending.sync

    def note_and_sync() -> None:
        synced.append(fill.pending.held.size_bytes)
        sync()

    monkeypatch.setattr(fill.pending, "sync", note_and_sync)
    source.gates = {at: asyncio.Event() for at in (3000, 6000)}
    async with asyncio.TaskGroup() as group:
        group.create_task(fill.run())
        for count, gate in enumerate(source.gates.values(), start=1):
            await until(lambda count=count: len(synced) == count)  # type: ignore[misc]
            gate.set()
    assert all(later - before >= 2000 for before, later in pairwise([0, *synced[:2]]))


async def test_on_a_slow_line_they_are_noted_by_the_clock(
    filler: Filler, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_module, "SYNC_SECONDS", -1.0)
    synced = threading.Event()
    fill = filler.make()
    monkeypatch.setattr(fill.pending, "sync", synced.set)
    source.gates = {3000: asyncio.Event()}
    async with asyncio.TaskGroup() as group:
        group.create_task(fill.run())
        await until(synced.is_set)
        source.gates[3000].set()
