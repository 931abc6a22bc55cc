"""The cache as its doors see it: one fetch for all, whatever comes between."""

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from appliance.cache import pulls
from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.cache.readers import HeldReader, StreamReader
from appliance.cache.tally import Count
from appliance.policy import backoff
from appliance.policy.eviction import Budget
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import RangeNotSatisfiable, Unavailable
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.faults import StoreFullError
from appliance.store.layout import Layout
from appliance.store.pending import CommitStep, PendingBlob
from appliance.store.store import Store
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.source import OriginUnreachableError, Refusal
from tests.appliance.cache.pulling import (
    CONTENT,
    DIGEST,
    LATEST,
    TINY,
    Clock,
    counted,
    find,
    make_cache,
    open_whole,
    pull,
    read,
    settled,
    until,
)
from tests.appliance.store.samples import manifest_of
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)
OTHER = Repository("someone", "else")
CUT = OriginUnreachableError("the line is cut")


@pytest.fixture(autouse=True)
def published(source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.publish(LATEST, manifest_of(CONTENT), CONTENT)
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)


def give_up(after: int) -> list[tuple[int, Exception]]:
    """An origin that is cut off after so many bytes, and stays away."""
    return [(after, CUT), *[(0, CUT)] * (backoff.ATTEMPTS_MAX - 1)]


async def test_a_blob_is_fetched_once_and_then_held(cache: Cache, source: FakeSource) -> None:
    assert await pull(cache) == CONTENT
    assert await pull(cache) == CONTENT
    assert source.asked == ["GET blob"]
    assert (counted(cache, Count.BLOB_MISSES), counted(cache, Count.BLOB_HITS)) == (1, 1)
    assert counted(cache, Count.FETCHED_BYTES) == SIZE


async def test_many_readers_are_one_request(cache: Cache, source: FakeSource) -> None:
    readers = [await open_whole(cache) for _ in range(20)]
    assert [each.status for each in readers] == [
        CacheStatus.MISS,
        *[CacheStatus.COLLAPSED] * 19,
    ]
    assert [await read(each) for each in readers] == [CONTENT] * 20
    assert source.asked == ["GET blob"]


async def test_two_repositories_share_one_fill(cache: Cache, source: FakeSource) -> None:
    first = await open_whole(cache)
    second = await cache.open_blob(OTHER, DIGEST, SIZE, Span(0, SIZE))
    assert len(cache.fills) == 1
    assert (await read(first), await read(second)) == (CONTENT, CONTENT)
    assert source.asked == ["GET blob"]


async def test_a_fill_survives_all_its_readers(cache: Cache, source: FakeSource) -> None:
    source.gates[3000] = asyncio.Event()
    for reader in [await open_whole(cache) for _ in range(3)]:
        reader.close()
    source.gates[3000].set()
    await settled(cache)
    reader = await open_whole(cache)
    assert isinstance(reader, HeldReader)
    reader.close()
    assert source.asked == ["GET blob"]


async def test_what_a_fill_gave_up_the_next_pull_resumes(cache: Cache, source: FakeSource) -> None:
    source.troubles = give_up(2500)
    assert await pull(cache) == CONTENT[:2500]
    reader = await open_whole(cache)
    assert reader.status is CacheStatus.PARTIAL
    assert await read(reader) == CONTENT
    assert source.sent_bytes == SIZE


async def test_after_wrong_bytes_there_is_a_pause_and_then_another_try(
    cache: Cache, source: FakeSource, clock: Clock, store: Store
) -> None:
    source.blobs[DIGEST] = bytes(SIZE)
    await pull(cache)
    assert store.find_blob(DIGEST) is None
    assert counted(cache, Count.MISMATCHES) == 1
    source.blobs[DIGEST] = CONTENT
    clock.now += backoff.MISMATCH_SECONDS_MIN - 1
    with pytest.raises(Unavailable, match="a moment ago"):
        await open_whole(cache)
    assert source.asked == ["GET blob"]
    clock.now += 1
    assert await pull(cache) == CONTENT


async def test_a_disk_that_fills_up_costs_no_reader_a_byte(
    cache: Cache, source: FakeSource, disk: FailingDisk, store: Store
) -> None:
    disk.fail("write_at", errno.ENOSPC, after=3)
    readers = [await open_whole(cache) for _ in range(2)]
    assert [await read(each) for each in readers] == [CONTENT] * 2
    assert store.stats().pending_count == 0
    assert not any(Layout(store.root).pending.iterdir())


async def test_with_no_room_it_goes_past_the_store(
    cache: Cache, source: FakeSource, disk: FailingDisk
) -> None:
    disk.free = SIZE - 1
    reader = await cache.open_blob(TINY, DIGEST, SIZE, Span(5, 500))
    assert isinstance(reader, StreamReader)
    assert reader.status is CacheStatus.UNCACHED
    assert await read(reader) == CONTENT[5:500]
    assert source.spans == [Span(5, 500)]
    assert cache.fills == ()


@pytest.mark.parametrize(
    "fault", [OSError(errno.EMFILE, "no descriptor"), OSError(errno.EROFS, "read only")]
)
async def test_a_store_that_cannot_begin_is_gone_past(
    cache: Cache, store: Store, monkeypatch: pytest.MonkeyPatch, fault: OSError
) -> None:
    def fail(*_: object, **__: object) -> PendingBlob:
        raise fault

    monkeypatch.setattr(store, "begin", fail)
    reader = await open_whole(cache)
    assert isinstance(reader, StreamReader)
    assert await read(reader) == CONTENT


async def test_without_a_descriptor_for_the_fill_the_blob_is_not_left_begun(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: PendingBlob) -> int:
        raise OSError(errno.EMFILE, "no descriptor")

    with monkeypatch.context() as broken:
        broken.setattr(PendingBlob, "open_reader", fail)
        assert isinstance(await open_whole(cache), StreamReader)
    assert await pull(cache) == CONTENT
    assert counted(cache, Count.FILLS) == 1


async def test_without_a_descriptor_for_the_reader_the_fill_goes_on(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    def fail(_: int) -> int:
        raise OSError(errno.EMFILE, "no descriptor")

    with monkeypatch.context() as broken:
        broken.setattr("appliance.cache.readers.os.dup", fail)
        broken.setattr(PendingBlob, "open_reader", lambda each: os.open("/dev/null", os.O_RDONLY))
        assert isinstance(await open_whole(cache), StreamReader)
    await settled(cache)
    assert store.find_blob(DIGEST) is not None


async def test_manifests_that_disagree_on_a_size_do_not_wait_for_one_another(
    cache: Cache, source: FakeSource
) -> None:
    source.gates[3000] = asyncio.Event()
    right = await open_whole(cache)
    wrong = await cache.open_blob(OTHER, DIGEST, SIZE + 1, Span(0, SIZE + 1))
    assert isinstance(wrong, StreamReader)
    with pytest.raises(OriginUnreachableError):
        await read(wrong)
    source.gates[3000].set()
    assert await read(right) == CONTENT


async def test_a_span_past_the_end_of_what_is_held_is_none(cache: Cache) -> None:
    await pull(cache)
    with pytest.raises(RangeNotSatisfiable) as caught:
        await cache.open_blob(TINY, DIGEST, SIZE + 1, Span(0, SIZE + 1))
    assert caught.value.content_range == f"bytes */{SIZE}"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 3)])
async def test_a_blob_whose_file_is_gone_is_fetched_again(
    cache: Cache, source: FakeSource, store: Store, damage: Callable[[Path], None]
) -> None:
    await pull(cache)
    damage(Layout(store.root).blob(DIGEST))
    assert await pull(cache) == CONTENT
    assert source.asked == ["GET blob"] * 2
    reader = await open_whole(cache)
    assert isinstance(reader, HeldReader)
    reader.close()


@pytest.mark.parametrize("step", CommitStep)
async def test_a_reader_that_comes_while_a_commit_runs_gets_it_all(
    cache: Cache, source: FakeSource, monkeypatch: pytest.MonkeyPatch, step: CommitStep
) -> None:
    is_there, may_go_on = asyncio.Event(), threading.Event()
    loop, commit = asyncio.get_running_loop(), PendingBlob.commit

    def stop_at_the_step(taken: CommitStep) -> None:
        if taken is step:
            loop.call_soon_threadsafe(is_there.set)
            may_go_on.wait(10)

    def observed(pending: PendingBlob, *, stored_at: float) -> object:
        return commit(pending, stored_at=stored_at, on_step=stop_at_the_step)

    monkeypatch.setattr(PendingBlob, "commit", observed)
    first = await open_whole(cache)
    await is_there.wait()
    during = await open_whole(cache)
    assert await read(during) == CONTENT
    may_go_on.set()
    assert await read(first) == CONTENT
    await settled(cache)
    assert source.asked == ["GET blob"]


async def test_the_next_life_goes_on_where_the_last_one_stopped(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    source.gates[3000] = asyncio.Event()
    async with make_cache(store, source, clock, uncounted) as cache:
        reader = await open_whole(cache)
        await until(lambda: cache.fills[0].pending.held.size_bytes == 3000)
    assert cache.fills == ()
    assert await read(reader) == CONTENT[:3000]
    source.gates.clear()
    async with make_cache(store, source, clock, uncounted) as cache:
        assert await pull(cache) == CONTENT
    assert source.spans == [Span(0, SIZE), Span(3000, SIZE)]


async def test_stopped_before_a_fill_s_first_step_nothing_is_left_open(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with make_cache(store, source, clock, uncounted) as cache:
        (await open_whole(cache)).close()
    assert all(fill.is_over for fill in cache.fills)
    assert store.stats().pending_count == 0


async def test_an_accident_in_one_fill_leaves_the_others_and_the_cache(
    cache: Cache, source: FakeSource
) -> None:
    source.troubles = [(2500, ValueError("not a URL"))]
    assert await pull(cache) == CONTENT[:2500]
    assert await pull(cache) == CONTENT


async def test_a_ledger_that_fails_is_tried_again(
    store: Store,
    source: FakeSource,
    clock: Clock,
    uncounted: Uncounted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "SAVE_SECONDS", 0.0)
    is_broken, tries, written = True, [0], Counter[str]()

    def write(hour: str, counts: dict[str, int], *, kept_from: str) -> None:
        tries[0] += 1
        if is_broken:
            raise StoreFullError(store.root, 1, 0)
        written.update(counts)

    monkeypatch.setattr(store, "add_totals", write)
    async with make_cache(store, source, clock, uncounted) as cache:
        await pull(cache)
        await until(lambda: tries[0] >= 3)
        is_broken = False
        await until(lambda: written[Count.FILLS] == 1)
    assert written[Count.FETCHED_BYTES] == SIZE


async def test_counts_are_saved_when_the_box_stops(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    async with make_cache(store, source, clock, uncounted) as cache:
        await pull(cache)
    assert store.totals() == {
        Count.BLOB_MISSES: 1,
        Count.FETCHED_BYTES: SIZE,
        Count.FILLS: 1,
    }


async def test_a_blob_s_size_is_the_manifest_s_without_asking(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache)
    source.asked.clear()
    assert cache.is_listed(TINY, DIGEST)
    assert await cache.find_blob_size(TINY, DIGEST) == SIZE
    assert source.asked == []


async def test_under_a_repository_that_does_not_list_it_only_the_origin_knows(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache)
    await pull(cache)
    source.asked.clear()
    assert not cache.is_listed(OTHER, DIGEST)
    assert await cache.find_blob_size(OTHER, DIGEST) == SIZE
    del source.blobs[DIGEST]
    refusal = await cache.find_blob_size(OTHER, DIGEST)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 404
    source.is_away = True
    with pytest.raises(Unavailable, match="no stored manifest lists"):
        await cache.find_blob_size(OTHER, DIGEST)


async def test_sizes_asked_for_at_once_are_one_question(cache: Cache, source: FakeSource) -> None:
    source.is_open.clear()
    async with asyncio.TaskGroup() as group:
        askers = [group.create_task(cache.find_blob_size(OTHER, DIGEST)) for _ in range(16)]
        await source.is_asked.wait()
        source.is_open.set()
    assert {each.result() for each in askers} == {SIZE}
    assert source.asked == ["HEAD blob"]


async def test_the_box_s_own_model_never_counts(
    store: Store, clock: Clock, uncounted: Uncounted
) -> None:
    own = BuiltinSource()
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(
            Cache(
                store,
                lambda _: own,
                now=clock,
                fresh_seconds=60,
                budget=lambda: Budget(0, 2**60),
                uncounted=uncounted,
            )
        )
        await find(cache, reference=BUILTIN)
        await find(cache, reference=BUILTIN)
        for digest in own.digests:
            size_bytes = await cache.find_blob_size(BUILTIN.repository, digest)
            assert isinstance(size_bytes, int)
            for _ in range(2):
                span = Span(0, size_bytes)
                reader = await cache.open_blob(BUILTIN.repository, digest, size_bytes, span)
                assert digest_of(await read(reader)) == digest
                await settled(cache)
        cache.books.note_pulled(BUILTIN)
        assert cache.books.tally.since_start == {}
        assert cache.books.models() == []
        assert cache.books.stats().blob_count == 0
    assert store.totals() == {}


async def test_a_reference_by_digest_counts_as_the_repository_s(cache: Cache) -> None:
    assert cache.books.tally_for(Reference(TINY, DIGEST).repository) is cache.books.tally


async def test_fills_share_the_connections_and_each_has_one(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    contents = [CONTENT + bytes([number]) for number in range(7)]
    source.blobs |= {digest_of(each): each for each in contents}
    source.is_open.clear()
    async with make_cache(store, source, clock, uncounted, connections=5) as cache:
        shares = []
        for number, content in enumerate(contents, 1):
            (await open_whole(cache, digest_of(content), len(content))).close()
            await until(lambda wanted=number: len(source.asked) == wanted)  # type: ignore[misc]
            shares.append(cache.fills[0].connections())
        source.is_open.set()
        await settled(cache)
    assert shares == [5, 2, 1, 1, 1, 1, 1]


async def test_more_fills_than_may_run_wait_their_turn(
    cache: Cache, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache._turns, "_places", asyncio.Semaphore(1))
    other = CONTENT + b"more"
    source.blobs[digest_of(other)] = other
    source.gates[0] = asyncio.Event()
    first = await open_whole(cache)
    second = await open_whole(cache, digest_of(other), len(other))
    await until(lambda: len(source.spans) == 1)
    source.gates[0].set()
    assert await read(first) == CONTENT
    assert await read(second) == other
    await settled(cache)


async def test_what_an_earlier_life_left_unfinished_goes_on_without_a_client(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    source.gates[5000] = asyncio.Event()
    async with make_cache(store, source, clock, uncounted) as cache:
        (await open_whole(cache)).close()
        await until(lambda: cache.fills[0].pending.held.size_bytes == 5000)
    source.gates.clear()
    async with make_cache(store, source, clock, uncounted) as cache:
        assert cache.resume() == 1
        await settled(cache)
        assert cache.resume() == 0
    assert store.find_blob(DIGEST) is not None
    assert source.sent_bytes == SIZE


async def test_what_has_no_room_stays_unfinished(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted, disk: FailingDisk
) -> None:
    source.gates[5000] = asyncio.Event()
    async with make_cache(store, source, clock, uncounted) as cache:
        (await open_whole(cache)).close()
        await until(lambda: cache.fills[0].pending.held.size_bytes == 5000)
    disk.free = 0
    async with make_cache(store, source, clock, uncounted) as cache:
        assert cache.resume() == 0
    assert len(store.unfinished()) == 1


async def test_the_box_s_own_model_may_use_the_space_that_others_must_leave(
    store: Store, clock: Clock, uncounted: Uncounted
) -> None:
    builtin = BuiltinSource()
    async with make_cache(store, builtin, clock, uncounted, min_free_bytes=2**60) as cache:
        for digest in builtin.digests:
            size = await cache.find_blob_size(BUILTIN.repository, digest)
            assert isinstance(size, int)
            span = Span(0, size)
            reader = await cache.open_blob(BUILTIN.repository, digest, size, span)
            assert reader.status is CacheStatus.MISS
            reader.close()
        await settled(cache)
        assert all(store.find_blob(digest) for digest in builtin.digests)
