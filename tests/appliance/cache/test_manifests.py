"""Manifests: what is asked of the origin, what is kept, and what a client gets in each weather."""

import asyncio
import errno
from pathlib import Path

import pytest

from appliance.cache.manifests import ABSENT_SECONDS, STALE_SECONDS
from appliance.cache.pulls import Cache
from appliance.cache.tally import Count
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import BadGateway, Unavailable
from appliance.protocol.fields import CacheStatus
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Reference
from appliance.store.store import Store
from appliance.upstream.source import FetchedManifest, Refusal
from tests.appliance.cache.pulling import (
    LATEST,
    TINY,
    Clock,
    asking,
    counted,
    find,
    pull,
    refused,
)
from tests.appliance.store.samples import manifest_of
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource

OLD, NEW = manifest_of(b"old"), manifest_of(b"new")
HTML = FetchedManifest(b"<html>Please log in</html>", "text/html")
REFUSALS = [
    Refusal(404, {"Content-Type": "application/json"}, b'{"errors":[{"code":"UNKNOWN"}]}'),
    Refusal(412, {"Content-Type": "text/plain"}, b"requires a newer version of Ollama"),
    Refusal(401, {"WWW-Authenticate": 'Bearer realm="https://ollama.com/token"'}, b""),
]


@pytest.fixture(autouse=True)
def published(source: FakeSource) -> None:
    source.publish(LATEST, OLD)


async def make_stale(cache: Cache, source: FakeSource, clock: Clock) -> None:
    """Store the manifest, and let it grow old."""
    await find(cache)
    clock.now += 61
    source.asked.clear()
    source.timeouts.clear()


async def test_the_first_ask_fetches_and_stores(
    cache: Cache, source: FakeSource, store: Store
) -> None:
    found = await find(cache)
    assert (found.content, found.content_type, found.digest) == (OLD, MANIFEST_TYPE, digest_of(OLD))
    assert found.status is CacheStatus.MISS
    assert source.asked == ["GET manifest"]
    assert source.timeouts == [ABSENT_SECONDS]
    assert await store.read_manifest(digest_of(OLD)) == OLD
    assert counted(cache, Count.MANIFEST_MISSES) == 1


async def test_it_is_given_to_the_last_blank_as_it_came(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    odd = b"\n  " + OLD.replace(b": ", b" :\t") + b"\r\n \n"
    source.publish(LATEST, odd)
    for _ in ("as it came", "fresh", "stale"):
        assert (await find(cache)).content == odd
        clock.now += 40
    assert (await find(cache)).digest == digest_of(odd)


async def test_what_decides_the_answer_goes_upstream(cache: Cache, source: FakeSource) -> None:
    await find(cache, asking("ollama/0.5.7 (arm64 darwin) Go/go1.23", "application/x"))
    assert source.agents == ["ollama/0.5.7 (arm64 darwin) Go/go1.23"]
    assert source.accepts == ["application/x"]


async def test_a_fresh_one_asks_nothing(cache: Cache, source: FakeSource, clock: Clock) -> None:
    await find(cache)
    clock.now += 59
    found = await find(cache)
    assert (found.content, found.status) == (OLD, CacheStatus.HIT)
    assert source.asked == ["GET manifest"]
    assert counted(cache, Count.MANIFEST_HITS) == 1


async def test_a_stale_one_asks_for_the_digest_only(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    await make_stale(cache, source, clock)
    assert (await find(cache)).status is CacheStatus.REVALIDATED
    assert source.asked == ["HEAD manifest"]
    assert source.timeouts == [STALE_SECONDS]
    assert (await find(cache)).status is CacheStatus.HIT
    assert counted(cache, Count.MANIFEST_REVALIDATIONS) == 1


async def test_a_moved_tag_is_fetched_and_the_move_recorded(
    cache: Cache, source: FakeSource, clock: Clock, store: Store
) -> None:
    await make_stale(cache, source, clock)
    source.publish(LATEST, NEW)
    found = await find(cache)
    assert (found.content, found.status) == (NEW, CacheStatus.MISS)
    assert source.asked == ["HEAD manifest", "GET manifest"]
    (move,) = store.tag_moves(LATEST)
    assert (move.old, move.new) == (digest_of(OLD), digest_of(NEW))
    assert (await find(cache)).content == NEW


async def test_an_origin_that_cannot_tell_is_asked_for_the_whole_and_compared(
    cache: Cache, source: FakeSource, clock: Clock, store: Store
) -> None:
    await make_stale(cache, source, clock)
    source.tells_digest = False
    before = store.find_tag(LATEST, MANIFEST_TYPE)
    assert (await find(cache)).status is CacheStatus.REVALIDATED
    assert source.asked == ["HEAD manifest", "GET manifest"]
    after = store.find_tag(LATEST, MANIFEST_TYPE)
    assert before is not None
    assert after is not None
    assert (after.stored_at, after.checked_at) == (before.stored_at, clock.now)
    assert (await find(cache)).status is CacheStatus.HIT
    assert store.tag_moves(LATEST) == []


async def test_an_origin_that_is_away_takes_no_model_from_anybody(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    await make_stale(cache, source, clock)
    source.is_away = True
    found = await find(cache)
    assert (found.content, found.status) == (OLD, CacheStatus.STALE_HIT)
    assert counted(cache, Count.MANIFEST_STALE) == 1
    source.is_away = False
    assert (await find(cache)).status is CacheStatus.REVALIDATED


async def test_with_nothing_stored_an_origin_that_is_away_is_said(
    cache: Cache, source: FakeSource
) -> None:
    source.is_away = True
    with pytest.raises(Unavailable, match="library/tiny:latest is not stored, and nobody is there"):
        await find(cache)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: str(each.status))
async def test_a_refusal_passes_as_it_came_and_is_not_stored(
    cache: Cache, source: FakeSource, store: Store, refusal: Refusal
) -> None:
    source.manifests[LATEST] = refusal
    assert await refused(cache) == refusal
    assert store.find_tag(LATEST, MANIFEST_TYPE) is None
    source.publish(LATEST, OLD)
    assert (await find(cache)).content == OLD


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: str(each.status))
async def test_a_refusal_is_not_stored_over_what_others_get(
    cache: Cache, source: FakeSource, clock: Clock, refusal: Refusal
) -> None:
    await make_stale(cache, source, clock)
    source.manifests[LATEST] = refusal
    assert await refused(cache) == refusal
    source.is_away = True
    assert (await find(cache)).content == OLD


async def test_too_many_requests_is_no_word_on_the_model(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    too_many = Refusal(429, {"Retry-After": "9"}, b"")
    await make_stale(cache, source, clock)
    source.manifests[LATEST] = too_many
    assert (await find(cache)).status is CacheStatus.STALE_HIT
    absent = Reference(TINY, "absent")
    source.manifests[absent] = too_many
    assert await refused(cache, reference=absent) == too_many


async def test_a_captive_portal_takes_no_model_from_anybody(
    cache: Cache, source: FakeSource, clock: Clock, store: Store
) -> None:
    await make_stale(cache, source, clock)
    source.manifests[LATEST] = HTML
    found = await find(cache)
    assert (found.content, found.status) == (OLD, CacheStatus.STALE_HIT)
    assert store.tag_moves(LATEST) == []


async def test_a_captive_portal_s_page_is_never_a_model(
    cache: Cache, source: FakeSource, store: Store
) -> None:
    source.manifests[LATEST] = HTML
    with pytest.raises(BadGateway, match="log in to the network"):
        await find(cache)
    assert store.find_tag(LATEST, MANIFEST_TYPE) is None
    assert store.stats().manifest_count == 0


async def test_thirty_askers_at_once_are_one_question(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    for expected in (["GET manifest"], ["HEAD manifest"]):
        source.asked.clear()
        source.is_asked.clear()
        source.is_open.clear()
        async with asyncio.TaskGroup() as group:
            askers = [group.create_task(find(cache)) for _ in range(30)]
            await source.is_asked.wait()
            source.is_open.set()
        assert {each.result().content for each in askers} == {OLD}
        assert source.asked == expected
        clock.now += 61


async def test_the_question_survives_the_first_asker(cache: Cache, source: FakeSource) -> None:
    source.is_open.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(find(cache))
        await source.is_asked.wait()
        second = group.create_task(find(cache))
        first.cancel()
        await asyncio.wait([first])
        source.is_open.set()
        assert (await second).content == OLD
    assert source.asked == ["GET manifest"]


async def test_a_stored_answer_fits_clients_as_new_as_the_one_it_was_given_to(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache, asking("ollama/0.30.0 (amd64 linux)"))
    for agent in ("ollama/0.30.0 (arm64 darwin)", "ollama/0.31.0", "curl/8.5.0"):
        assert (await find(cache, asking(agent))).status is CacheStatus.HIT
    source.manifests[LATEST] = REFUSALS[1]
    for agent in ("ollama/0.29.9 (amd64 linux)", "ollama/0.0.0", "ollama-transfer/1.0"):
        assert (await refused(cache, asking(agent))).status == 412
    assert (await find(cache, asking("ollama/0.30.0"))).content == OLD


async def test_an_older_client_that_was_given_it_lowers_the_version(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache, asking("ollama/0.30.0"))
    assert (await find(cache, asking("ollama/0.12.6"))).status is CacheStatus.REVALIDATED
    assert (await find(cache, asking("ollama/0.13.0"))).status is CacheStatus.HIT
    await find(cache, asking("ollama/0.0.0"))  # Of unknown age: proves nothing either way.
    assert (await find(cache, asking("ollama/0.12.6"))).status is CacheStatus.HIT


async def test_what_only_other_tools_were_given_fits_no_ollama(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache, asking("curl/8.5.0"))
    source.manifests[LATEST] = REFUSALS[1]
    assert (await refused(cache, asking("ollama/0.30.0"))).status == 412


async def test_a_client_too_old_for_what_is_stored_needs_the_origin(
    cache: Cache, source: FakeSource
) -> None:
    await find(cache, asking("ollama/0.30.0"))
    source.is_away = True
    with pytest.raises(Unavailable):
        await find(cache, asking("ollama/0.12.6"))


async def test_another_accept_asks_for_itself(cache: Cache, source: FakeSource) -> None:
    await find(cache)
    source.publish(LATEST, NEW)
    assert (await find(cache, asking(accept="application/x"))).content == NEW
    assert (await find(cache)).content == OLD
    assert source.asked == ["GET manifest", "GET manifest"]


async def test_by_digest_it_never_grows_old(cache: Cache, source: FakeSource, clock: Clock) -> None:
    by_digest = Reference(TINY, digest_of(OLD))
    source.publish(by_digest, OLD)
    await find(cache, reference=by_digest)
    clock.now += 1e6
    source.is_away = True
    assert (await find(cache, reference=by_digest)).status is CacheStatus.HIT


async def test_by_digest_other_bytes_are_refused(
    cache: Cache, source: FakeSource, store: Store
) -> None:
    by_digest = Reference(TINY, digest_of(OLD))
    source.publish(by_digest, NEW)
    with pytest.raises(BadGateway, match="not the one that was asked for"):
        await find(cache, reference=by_digest)
    assert store.stats().manifest_count == 0


async def test_a_damaged_one_is_fetched_anew(
    cache: Cache, source: FakeSource, tmp_path: Path
) -> None:
    await find(cache)
    (stored,) = (each for each in (tmp_path / "state" / "manifests").rglob("*") if each.is_file())
    stored.write_bytes(b"rust")
    found = await find(cache)
    assert (found.content, found.status) == (OLD, CacheStatus.MISS)
    assert stored.read_bytes() == OLD


async def test_what_the_disk_does_not_take_is_passed_on(
    cache: Cache, disk: FailingDisk, store: Store
) -> None:
    disk.fail("write_at", errno.ENOSPC)
    found = await find(cache)
    assert (found.content, found.status) == (OLD, CacheStatus.UNCACHED)
    assert store.find_tag(LATEST, MANIFEST_TYPE) is None
    disk.heal()
    assert (await find(cache)).status is CacheStatus.MISS


async def test_a_check_that_cannot_be_noted_is_good_for_this_client(
    cache: Cache,
    source: FakeSource,
    clock: Clock,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await make_stale(cache, source, clock)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the index cannot be written")

    monkeypatch.setattr(store, "note_checked", fail)
    assert (await find(cache)).status is CacheStatus.REVALIDATED
    assert (await find(cache)).status is CacheStatus.REVALIDATED


async def test_the_box_s_end_ends_a_question_that_hangs(cache: Cache, source: FakeSource) -> None:
    source.is_open.clear()
    async with asyncio.TaskGroup() as group:
        asker = group.create_task(find(cache))
        await source.is_asked.wait()
        await cache.__aexit__()
    assert asker.cancelled()


async def test_a_blob_of_a_moved_tag_is_still_listed(
    cache: Cache, source: FakeSource, clock: Clock
) -> None:
    await make_stale(cache, source, clock)
    source.publish(LATEST, NEW, b"old", b"new")
    await find(cache)
    assert cache.is_listed(TINY, digest_of(b"old"))
    assert await pull(cache, digest_of(b"old"), 3) == b"old"
