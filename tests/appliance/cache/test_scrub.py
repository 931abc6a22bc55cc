"""The scrub: everything is read, in order, at its pace, and a restart goes on where it was."""

import asyncio
from pathlib import Path

import pytest

from appliance.cache import scrub
from appliance.cache.accounts import Uncounted
from appliance.cache.janitor import UnknownModelError
from appliance.cache.pulls import Cache
from appliance.cache.tally import Count
from appliance.policy.eviction import Budget
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.layout import Layout
from appliance.store.records import ScrubMark
from appliance.store.store import Store, open_store
from tests.appliance.cache.pulling import Clock, counted, until
from tests.appliance.cache.spoiling import DIGEST, LARGE, SPAN, SPANS, flip, hold, read_whole
from tests.appliance.store.samples import CONTENT, LATEST, store_blob
from tests.fakes.source import FakeSource

BLOBS = [b"one", b"two", b"three", b"four"]
AT_ONCE = 1e-9  # Days: a pass is always late, and goes as fast as it may.


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(chunk_size_bytes=SPAN)


def patrolled(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted, days: float
) -> Cache:
    return Cache(
        store,
        lambda _: source,
        now=clock,
        fresh_seconds=60,
        budget=lambda: Budget(0, 2**60),
        uncounted=uncounted,
        scrub_days=days,
    )


async def test_a_sound_store_is_read_whole_and_nothing_is_done(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE, *BLOBS)
    done = await cache.scrubber.scrub()
    size_bytes = len(LARGE) + sum(map(len, BLOBS))
    assert (done.blob_count, done.read_bytes, done.total_bytes) == (5, size_bytes, size_bytes)
    assert (done.damaged, source.sent_bytes) == ({}, 0)
    assert counted(cache, Count.SCRUBBED_BYTES) == size_bytes
    assert cache.scrubber.progress().asked is None


async def test_one_model_is_read_and_no_other(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, CONTENT)
    store_blob(store, b"of nobody")
    done = await cache.scrubber.scrub(LATEST)
    assert (done.blob_count, done.read_bytes) == (1, len(CONTENT))
    with pytest.raises(UnknownModelError):
        await cache.scrubber.scrub(Reference(Repository("library", "other"), "latest"))


async def test_the_box_s_own_model_is_not_read(
    cache: Cache, store: Store, uncounted: Uncounted
) -> None:
    assert uncounted.digests
    assert (await cache.scrubber.scrub()).blob_count == store.stats().blob_count == 0


async def test_a_blob_of_an_older_box_is_given_its_checksums(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE)
    Layout(store.root).checksums(DIGEST).unlink()
    done = await cache.scrubber.scrub()
    assert (done.read_bytes, done.damaged) == (len(LARGE), {})
    assert [span for span, _ in store.check_blob(DIGEST)] == SPANS
    assert store.verify().problems == ()


async def test_what_is_let_go_of_meanwhile_is_no_damage(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 0) as cache:
        await hold(cache, store, source, LARGE)
        check = store.check_blob(DIGEST)
        next(check)
        records = cache.scrubber._find_records(None)
        store.discard_blob(DIGEST)
        check.close()
        bad = await cache.scrubber._find_bad(records[0], 0, scrub._at_once, lambda *_: None)
        assert not bad
        assert not cache.mender.is_condemned(DIGEST, SPANS[0])


async def test_the_patrol_finds_and_mends_by_itself(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 0) as cache:
        await hold(cache, store, source, LARGE, *BLOBS)
    flip(store, DIGEST, [SPAN])
    async with patrolled(store, source, clock, uncounted, AT_ONCE) as cache:
        move = asyncio.get_running_loop().create_task(move_on(clock))
        await until(lambda: counted(cache, Count.MENDED) == 1)
        move.cancel()
    assert source.sent_bytes == SPAN
    assert read_whole(store, DIGEST) == LARGE


async def test_the_patrol_waits_until_bytes_are_due(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 30) as cache:
        await hold(cache, store, source, LARGE)
        cache.scrubber._left_bytes = len(LARGE)
        due = cache.scrubber._seconds_until_due(SPAN)
        share = SPAN / len(LARGE)
        assert due == pytest.approx(30 * 86_400 * share)
        clock.now += due
        assert cache.scrubber._seconds_until_due(SPAN) == pytest.approx(0, abs=0.01)
        assert counted(cache, Count.SCRUBBED_BYTES) == 0


async def test_a_clock_set_back_by_a_year_holds_nothing_up(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 30) as cache:
        cache.scrubber._left_bytes = SPAN
        clock.now -= 365 * 86_400
        assert cache.scrubber._seconds_until_due(SPAN) <= 30 * 86_400


async def test_it_gives_way_to_pulls_but_not_for_ever(
    store: Store,
    clock: Clock,
    source: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    uncounted: Uncounted,
) -> None:
    looks = iter([True, True, False])
    monkeypatch.setattr(scrub, "YIELD_SECONDS", 0.0)
    async with patrolled(store, source, clock, uncounted, AT_ONCE) as cache:
        clock.now += 1e6
        cache.scrubber._is_busy = lambda: next(looks)
        await cache.scrubber._pause(0)
        assert list(looks) == []
        cache.scrubber._is_busy = lambda: True
        await cache.scrubber._pause(0)


async def test_a_restart_goes_on_inside_a_blob(
    tmp_path: Path, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    root = tmp_path / "again"
    with open_store(root) as store:
        async with patrolled(store, source, clock, uncounted, 0) as cache:
            await hold(cache, store, source, LARGE)
        store.note_scrubbed(ScrubMark(clock.now, clock.now, DIGEST, SPAN))
    with open_store(root) as store:
        flip(store, DIGEST, [0])  # Behind the mark: it is the next pass's to find.
        async with patrolled(store, source, clock, uncounted, AT_ONCE) as cache:
            move = asyncio.get_running_loop().create_task(move_on(clock))
            await until(lambda: counted(cache, Count.SCRUBBED_BYTES) >= len(LARGE) - SPAN)
            assert counted(cache, Count.DAMAGED) == 0
            await until(lambda: counted(cache, Count.MENDED) == 1)
            move.cancel()


async def test_the_mark_is_kept_before_a_pause(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 0) as cache:
        await hold(cache, store, source, LARGE)
    async with patrolled(store, source, clock, uncounted, 30) as cache:
        await until(lambda: store.scrub_mark() is not None)
        mark = store.scrub_mark()
        assert mark is not None
        assert (mark.digest, mark.offset) == (DIGEST, 0)
        clock.now += 86_400 * 30
        assert cache.scrubber.progress().left_bytes == len(LARGE)


async def test_everything_is_read_once_a_pass(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with patrolled(store, source, clock, uncounted, 0) as cache:
        await hold(cache, store, source, *BLOBS)
        scrubber, read = cache.scrubber, []
        scrubber._days = AT_ONCE
        for _ in BLOBS:
            clock.now += 1e6
            assert await scrubber._patrol_blob()
            read.append(scrubber._mark.digest)
        assert read == sorted(map(digest_of, BLOBS), key=lambda each: each.encoded)
        assert counted(cache, Count.SCRUBBED_BYTES) == sum(map(len, BLOBS))
        assert await scrubber._patrol_blob()
        assert scrubber._mark.began_at == clock.now


async def move_on(clock: Clock) -> None:
    """Let an hour go by whenever the loop turns."""
    while True:
        clock.now += 3600
        await asyncio.sleep(0)


async def test_a_span_is_condemned_byte_for_byte(cache: Cache) -> None:
    assert not cache.mender.is_condemned(DIGEST, Span(0, 1))
