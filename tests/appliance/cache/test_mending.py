"""Mending: no reader gets a byte that is known to be wrong, and only wrong bytes are fetched."""

import asyncio
import os

import pytest

from appliance.cache.pulls import Cache
from appliance.cache.readers import HeldReader, StreamReader
from appliance.cache.tally import Count
from appliance.policy import backoff
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.store.layout import Layout
from appliance.store.store import Store
from tests.appliance.cache.pulling import Clock, counted, pull, read, settled
from tests.appliance.cache.spoiling import DIGEST, LARGE, SPAN, SPANS, flip, hold, read_whole
from tests.appliance.store.samples import CONTENT, LATEST, TINY
from tests.fakes.source import FakeSource

MIB = 1024 * 1024


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)
    return FakeSource(chunk_size_bytes=MIB)


async def test_only_the_bad_span_is_fetched_and_the_whole_proven_again(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE)
    flip(store, DIGEST, [SPAN + 77])
    done = await cache.scrubber.scrub()
    assert (done.damaged, done.unmended) == ({DIGEST: SPAN}, [])
    assert source.sent_bytes == SPAN
    assert [SpanSet(source.spans)] == [SpanSet([SPANS[1]])]
    assert read_whole(store, DIGEST) == LARGE
    assert all(is_right for _, is_right in store.check_blob(DIGEST))
    assert store.verify().problems == ()
    assert counted(cache, Count.DAMAGED) == counted(cache, Count.MENDED) == 1
    assert counted(cache, Count.MENDED_BYTES) == SPAN


async def test_bad_spans_in_several_places_are_mended_in_one_go(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE)
    flip(store, DIGEST, [5, len(LARGE) - 1])
    await cache.scrubber.scrub()
    assert source.sent_bytes == SPANS[0].size_bytes + SPANS[2].size_bytes
    assert read_whole(store, DIGEST) == LARGE
    assert counted(cache, Count.MISMATCHES) == 0


async def test_a_small_blob_is_quarantined_and_fetched_whole(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, CONTENT)
    flip(store, digest_of(CONTENT), [99])
    done = await cache.scrubber.scrub()
    assert done.unmended == []
    assert store.stats().quarantined_count == 1
    assert read_whole(store, digest_of(CONTENT)) == CONTENT


async def test_with_the_origin_away_it_stays_out_of_service_and_is_tried_again(
    cache: Cache, store: Store, source: FakeSource, clock: Clock
) -> None:
    await hold(cache, store, source, LARGE)
    flip(store, DIGEST, [0])
    source.is_away = True
    done = await cache.scrubber.scrub()
    assert done.unmended == [DIGEST] == list(cache.scrubber.progress().unmended)
    assert store.find_blob(DIGEST) is None
    assert [note.held.size_bytes for note in store.unfinished()] == [len(LARGE) - SPAN]
    source.is_away = False
    await cache.mender.mend_due()
    assert source.sent_bytes == 0  # It is not due yet.
    clock.now += backoff.MISMATCH_SECONDS_MIN
    await cache.mender.mend_due()
    assert source.sent_bytes == SPAN
    assert cache.mender.unmended == ()
    assert read_whole(store, DIGEST) == LARGE


async def test_an_origin_with_other_bytes_is_asked_ever_more_seldom(
    cache: Cache, store: Store, source: FakeSource, clock: Clock
) -> None:
    await hold(cache, store, source, LARGE)
    source.blobs[DIGEST] = bytes(len(LARGE))
    flip(store, DIGEST, [0])
    await cache.scrubber.scrub()
    assert (counted(cache, Count.MISMATCHES), store.stats().quarantined_count) == (1, 1)
    for pause in (30, 60, 120):
        before = len(source.spans)
        clock.now += pause - 1
        await cache.mender.mend_due()
        assert len(source.spans) == before
        clock.now += 1
        await cache.mender.mend_due()
        assert len(source.spans) > before
    assert cache.mender.unmended == (DIGEST,)
    source.blobs[DIGEST] = LARGE
    clock.now += backoff.MISMATCH_SECONDS_MAX
    await cache.mender.mend_due()
    assert read_whole(store, DIGEST) == LARGE
    assert counted(cache, Count.MENDED_BYTES) == len(LARGE)


async def test_a_client_may_mend_it_first(
    cache: Cache, store: Store, source: FakeSource, clock: Clock
) -> None:
    await hold(cache, store, source, LARGE)
    flip(store, DIGEST, [0])
    source.is_away = True
    await cache.scrubber.scrub()
    source.is_away = False
    assert await pull(cache, DIGEST, len(LARGE)) == LARGE
    clock.now += backoff.MISMATCH_SECONDS_MIN
    await cache.mender.mend_due()
    assert (cache.mender.unmended, counted(cache, Count.MENDED)) == ((), 1)
    assert source.sent_bytes == SPAN


async def test_what_nothing_lists_any_more_is_not_fetched(
    cache: Cache, store: Store, source: FakeSource, clock: Clock
) -> None:
    await hold(cache, store, source, LARGE, CONTENT)
    flip(store, DIGEST, [0])
    flip(store, digest_of(CONTENT), [0])
    source.is_away = True
    assert len((await cache.scrubber.scrub(LATEST)).unmended) == 2
    await cache.janitor.remove(LATEST)
    source.is_away = False
    clock.now += backoff.MISMATCH_SECONDS_MIN
    await cache.mender.mend_due()
    assert (cache.mender.unmended, source.sent_bytes) == ((), 0)


async def test_readers_of_bad_bytes_are_cut_and_others_read_on(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE)
    spoilt, sound = [await cache.open_blob(TINY, DIGEST, len(LARGE), span) for span in SPANS[:2]]
    cut: list[str] = []
    spoilt.on_spoilt(lambda: cut.append("spoilt"))
    sound.on_spoilt(lambda: cut.append("sound"))
    flip(store, DIGEST, [7])
    await cache.scrubber.scrub()
    assert cut == ["spoilt"]
    assert await read(sound) == LARGE[SPANS[1].start : SPANS[1].stop]
    spoilt.close()


async def test_while_the_rest_is_read_bad_bytes_come_from_the_origin(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    await hold(cache, store, source, LARGE)
    flip(store, DIGEST, [7])
    cache.mender.condemn(DIGEST, SpanSet([SPANS[0]]))
    past = await cache.open_blob(TINY, DIGEST, len(LARGE), Span(SPAN - 1, SPAN + 1))
    assert isinstance(past, StreamReader)
    assert past.status is CacheStatus.UNCACHED
    assert await read(past) == LARGE[SPAN - 1 : SPAN + 1]
    held = await cache.open_blob(TINY, DIGEST, len(LARGE), SPANS[1])
    assert isinstance(held, HeldReader)
    held.close()
    cache.mender.absolve(DIGEST)


async def test_a_descriptor_from_before_sees_the_mended_bytes(
    cache: Cache, store: Store, source: FakeSource
) -> None:
    """The file is mended in place: readers of its other bytes need not come again."""
    await hold(cache, store, source, LARGE)
    fd = store.open_blob(DIGEST)
    flip(store, DIGEST, [0, 2 * SPAN])
    await cache.scrubber.scrub()
    await settled(cache)
    assert await asyncio.to_thread(os.pread, fd, 2**26, 0) == LARGE
    os.close(fd)


async def test_a_blob_that_nothing_lists_is_set_aside(cache: Cache, store: Store) -> None:
    pending = store.begin(DIGEST, len(LARGE), TINY, min_free_bytes=0)
    pending.write(0, LARGE)
    pending.commit(stored_at=1.0)
    flip(store, DIGEST, [0])
    done = await cache.scrubber.scrub()
    assert (done.damaged, done.unmended) == ({DIGEST: SPAN}, [])
    assert store.stats().quarantined_count == 1
    assert not any(Layout(store.root).pending.iterdir())
