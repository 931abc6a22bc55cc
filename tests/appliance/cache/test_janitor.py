"""The janitor: what goes when space is wanted, and what never does."""

import asyncio

import pytest

from appliance.cache.accounts import Uncounted
from appliance.cache.janitor import IN_USE_SECONDS, Janitor, PinnedError, UnknownModelError
from appliance.cache.tally import Count, Tally
from appliance.policy.eviction import Budget
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.store import Store
from tests.appliance.cache.pulling import (
    TINY,
    Clock,
    counted,
    find,
    make_cache,
    open_whole,
    pull,
    read,
    settled,
)
from tests.appliance.store.samples import NOON, manifest_of, store_blob, tag_of
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource

OLD, NEW = Reference(TINY, "old"), Reference(TINY, "new")
SHARED, ONE, TWO = b"s" * 1000, b"1" * 100, b"2" * 200


class Filling(set[Digest]):
    """What is under way."""


@pytest.fixture
def filling() -> Filling:
    return Filling()


@pytest.fixture
def limits() -> dict[str, int]:
    return {"min_free_bytes": 0, "max_size_bytes": 2**40}


@pytest.fixture
def janitor(store: Store, filling: Filling, limits: dict[str, int]) -> Janitor:
    return Janitor(
        store, budget=lambda: Budget(**limits), filling=lambda: filling, own=(), tally=Tally()
    )


@pytest.fixture
async def two_models(store: Store) -> None:
    """`old` and `new`, which share a blob."""
    for number, (reference, blob) in enumerate(((OLD, ONE), (NEW, TWO))):
        content = manifest_of(blob, SHARED)
        tag = tag_of(content, reference, stored_at=NOON + number)
        await store.write_manifest(tag, content)
        store_blob(store, blob)
    store_blob(store, SHARED)


def held(store: Store) -> set[bytes]:
    return {each for each in (SHARED, ONE, TWO) if store.find_blob(digest_of(each))}


def names(store: Store) -> list[str]:
    return [str(row.reference.tag) for row in store.models()]


@pytest.mark.usefixtures("two_models")
async def test_room_is_made_by_the_least_recently_pulled(
    janitor: Janitor, store: Store, limits: dict[str, int]
) -> None:
    limits["max_size_bytes"] = 1300
    assert await janitor.make_room(100)
    assert (names(store), held(store)) == (["new"], {TWO, SHARED})
    assert store.verify().problems == ()


@pytest.mark.usefixtures("two_models")
async def test_where_there_cannot_be_enough_room_nothing_goes(
    janitor: Janitor, store: Store, limits: dict[str, int]
) -> None:
    limits["max_size_bytes"] = 1300
    assert not await janitor.make_room(1301)
    assert names(store) == ["new", "old"]


@pytest.mark.usefixtures("two_models")
async def test_what_is_pinned_stays_whatever_is_wanted(
    janitor: Janitor, store: Store, limits: dict[str, int]
) -> None:
    store.pin(OLD)
    limits["max_size_bytes"] = 0
    await janitor.tidy()
    assert (names(store), held(store)) == (["old"], {ONE, SHARED})


@pytest.mark.usefixtures("two_models")
async def test_what_is_filled_or_was_read_a_moment_ago_stays(
    janitor: Janitor, store: Store, filling: Filling, limits: dict[str, int]
) -> None:
    limits["max_size_bytes"] = 0
    filling.add(digest_of(ONE))
    janitor.note_used(digest_of(TWO))
    await janitor.tidy()
    assert names(store) == ["new", "old"]
    filling.clear()
    await janitor.tidy()
    assert names(store) == ["new"]


@pytest.mark.usefixtures("two_models")
async def test_what_was_read_long_ago_is_in_use_no_more(
    janitor: Janitor, store: Store, limits: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits["max_size_bytes"] = 0
    janitor.note_used(digest_of(SHARED))
    monkeypatch.setattr("appliance.cache.janitor.IN_USE_SECONDS", -IN_USE_SECONDS)
    await janitor.tidy()
    assert (names(store), held(store)) == ([], set())


@pytest.mark.usefixtures("two_models")
async def test_a_disk_that_others_fill_is_given_room(
    janitor: Janitor, store: Store, disk: FailingDisk, limits: dict[str, int]
) -> None:
    limits["min_free_bytes"] = 1000
    disk.free = 950
    await janitor.tidy()
    assert names(store) == ["new"]


@pytest.mark.usefixtures("two_models")
async def test_within_the_budget_nothing_goes(janitor: Janitor, store: Store) -> None:
    await janitor.tidy()
    assert names(store) == ["new", "old"]


async def test_what_an_earlier_fill_left_goes_too(
    janitor: Janitor, store: Store, limits: dict[str, int]
) -> None:
    pending = store.begin(digest_of(ONE), len(ONE), TINY, min_free_bytes=0)
    pending.write(0, ONE[:60])
    pending.suspend()
    limits["max_size_bytes"] = 50
    await janitor.tidy()
    assert store.unfinished() == ()


@pytest.mark.usefixtures("two_models")
async def test_a_dry_run_tells_and_changes_nothing(janitor: Janitor, store: Store) -> None:
    assert (await janitor.evict(50, dry_run=True)).freed_bytes == 100
    assert (await janitor.remove(NEW, dry_run=True)).freed_bytes == 200
    assert (await janitor.collect(dry_run=True)).freed_bytes == 0
    assert names(store) == ["new", "old"]
    assert (await janitor.evict(50)).freed_bytes == 100
    assert names(store) == ["new"]


@pytest.mark.usefixtures("two_models")
async def test_removing_a_model_frees_what_no_other_lists(janitor: Janitor, store: Store) -> None:
    assert (await janitor.remove(OLD)).freed_bytes == 100
    assert (names(store), held(store)) == (["new"], {TWO, SHARED})
    assert (await janitor.remove(NEW)).freed_bytes == 1200
    assert (names(store), held(store)) == ([], set())
    with pytest.raises(UnknownModelError):
        await janitor.remove(NEW)


async def test_removing_one_of_two_names_frees_nothing(janitor: Janitor, store: Store) -> None:
    content = manifest_of(ONE)
    for reference in (OLD, NEW):
        await store.write_manifest(tag_of(content, reference), content)
    store_blob(store, ONE)
    assert (await janitor.remove(OLD)).freed_bytes == 0
    assert (names(store), held(store)) == (["new"], {ONE})


@pytest.mark.usefixtures("two_models")
async def test_what_is_pinned_is_not_removed(janitor: Janitor, store: Store) -> None:
    store.pin(OLD)
    with pytest.raises(PinnedError) as caught:
        await janitor.remove(OLD)
    assert "unpin library/tiny:old" in caught.value.hint
    assert names(store) == ["new", "old"]


async def test_collecting_takes_what_no_tag_and_no_manifest_names(
    janitor: Janitor, store: Store
) -> None:
    for number, blob in enumerate((ONE, TWO)):
        content = manifest_of(blob)
        await store.write_manifest(tag_of(content, OLD, stored_at=NOON + number), content)
        store_blob(store, blob)
    store_blob(store, SHARED)
    assert (await janitor.collect()).freed_bytes == len(ONE) + len(SHARED)
    assert (names(store), held(store)) == (["old"], {TWO})
    assert store.verify().problems == ()


async def test_a_pull_makes_room_for_itself_and_is_cached(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    models = {Reference(Repository("library", name), "latest"): name * 50 for name in "abc"}
    for reference, text in models.items():
        source.publish(reference, manifest_of(text.encode()), text.encode())
    async with make_cache(store, source, clock, uncounted, max_size_bytes=100) as cache:
        for reference, text in models.items():
            clock.now += 1
            cache.janitor._used_at.clear()  # As after IN_USE_SECONDS.
            await find(cache, reference=reference)
            content = text.encode()
            opened = await cache.open_blob(
                reference.repository, digest_of(content), len(content), Span(0, len(content))
            )
            assert await read(opened) == content
            await settled(cache)
        assert [row.reference.repository.model for row in store.models()] == ["b", "c"]
        assert (counted(cache, Count.EVICTIONS), counted(cache, Count.EVICTED_BYTES)) == (1, 50)
        assert counted(cache, Count.UNCACHED) == 0


async def test_a_blob_larger_than_the_budget_evicts_nothing_and_passes_uncached(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    content = manifest_of(ONE)
    await store.write_manifest(tag_of(content, OLD), content)
    store_blob(store, ONE)
    source.blobs[digest_of(SHARED)] = SHARED
    async with make_cache(store, source, clock, uncounted, max_size_bytes=500) as cache:
        assert await pull(cache, digest_of(SHARED), len(SHARED)) == SHARED
        assert counted(cache, Count.UNCACHED) == 1
    assert held(store) == {ONE}


async def test_the_blobs_of_one_model_do_not_push_one_another_out(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    source.publish(OLD, manifest_of(ONE, TWO), ONE, TWO)
    async with make_cache(store, source, clock, uncounted, max_size_bytes=250) as cache:
        await find(cache, reference=OLD)
        assert await pull(cache, digest_of(ONE), len(ONE)) == ONE
        assert await pull(cache, digest_of(TWO), len(TWO)) == TWO
    assert held(store) == {ONE}  # The second finds no room, and passes uncached.


async def test_room_that_is_gone_again_is_made_again(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    """Another fill ended while the room was counted, say, and was counted nowhere."""
    await store_old(store, 2)
    fresh = bytes([100]) * 100
    source.blobs[digest_of(fresh)] = fresh
    async with make_cache(store, source, clock, uncounted, max_size_bytes=200) as cache:
        really, judged = cache.janitor.make_room, 0

        async def misjudge_once(needed_bytes: int) -> bool:
            nonlocal judged
            judged += 1
            return judged == 1 or await really(needed_bytes)

        cache.janitor.make_room = misjudge_once  # type: ignore[method-assign]
        assert await pull(cache, digest_of(fresh), 100) == fresh
        assert counted(cache, Count.UNCACHED) == 0
    assert [row.reference.repository.model for row in store.models()] == ["old1"]


async def store_old(store: Store, count: int) -> None:
    """Models of 100 bytes each, the first of them the oldest."""
    for number in range(count):
        content = bytes([number]) * 100
        reference = Reference(Repository("library", f"old{number}"), "latest")
        manifest = manifest_of(content)
        await store.write_manifest(tag_of(manifest, reference, stored_at=NOON + number), manifest)
        store_blob(store, content)


async def test_many_pulls_at_once_make_room_one_after_another(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> None:
    await store_old(store, 10)
    fresh = [bytes([100 + number]) * 100 for number in range(8)]
    source.blobs |= {digest_of(each): each for each in fresh}
    async with make_cache(store, source, clock, uncounted, max_size_bytes=1000) as cache:
        readers = await asyncio.gather(*(open_whole(cache, digest_of(each), 100) for each in fresh))
        assert [await read(each) for each in readers] == fresh
        await settled(cache)
        assert counted(cache, Count.UNCACHED) == 0
    assert [row.reference.repository.model for row in store.models()] == ["old8", "old9"]
