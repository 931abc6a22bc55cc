"""Models: a row a tag, and how much of each is here."""

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference, Repository
from appliance.store.models import ModelRow
from appliance.store.store import Store
from tests.appliance.store.samples import LATEST, NOON, TINY, manifest_of, store_blob, tag_of


async def publish(store: Store, reference: Reference, *blobs: bytes, at: float = NOON) -> bytes:
    content = manifest_of(*blobs)
    await store.write_manifest(tag_of(content, reference, stored_at=at), content)
    return content


async def test_a_model_that_is_wholly_here(store: Store) -> None:
    content = await publish(store, LATEST, b"one", b"three")
    store_blob(store, b"one")
    store_blob(store, b"three")
    digest = digest_of(content)
    assert store.models() == [ModelRow(LATEST, digest, 8, 8, True, NOON, None, 0)]


async def test_a_model_that_is_partly_here(store: Store) -> None:
    await publish(store, LATEST, b"one", b"three", b"sixsix")
    store_blob(store, b"one")
    pending = store.begin(digest_of(b"three"), 5, TINY, min_free_bytes=0)
    pending.write(0, b"th")
    (row,) = store.models()
    assert (row.held_size_bytes, row.total_size_bytes, row.is_complete) == (5, 14, False)


async def test_a_blob_listed_twice_counts_once(store: Store) -> None:
    await publish(store, LATEST, b"one", b"one")
    (row,) = store.models()
    assert row.total_size_bytes == 3


async def test_a_model_without_blobs_is_complete(store: Store) -> None:
    await publish(store, LATEST)
    (row,) = store.models()
    assert (row.total_size_bytes, row.is_complete) == (0, True)


async def test_rows_come_by_name_one_a_tag_whatever_the_accept(store: Store) -> None:
    await publish(store, Reference(Repository("zoe", "tiny"), "latest"), b"one")
    await publish(store, Reference(TINY, "latest"), b"one")
    await publish(store, Reference(TINY, "1b"), b"one")
    other = manifest_of(b"newer")
    tag = tag_of(other, LATEST, accept="application/other", stored_at=NOON + 1)
    await store.write_manifest(tag, other)
    names = [str(row.reference) for row in store.models()]
    assert names == ["library/tiny:1b", "library/tiny:latest", "zoe/tiny:latest"]
    assert store.models()[1].digest == digest_of(other)


async def test_a_pull_by_digest_is_no_model(store: Store) -> None:
    content = manifest_of(b"one")
    await publish(store, Reference(TINY, digest_of(content)), b"one")
    assert store.models() == []


async def test_pulls_are_those_of_the_tag(store: Store) -> None:
    await publish(store, LATEST, b"one")
    store.note_pulled(LATEST, NOON + 5)
    store.note_pulled(LATEST, NOON + 9)
    store.note_pulled(Reference(TINY, "1b"), NOON + 50)
    (row,) = store.models()
    assert row.pulls == 2
    assert row.last_pulled_at == pytest.approx(NOON + 9)


async def test_an_empty_blob_is_held_without_being_stored(store: Store) -> None:
    await publish(store, LATEST, b"one", b"")
    store_blob(store, b"one")
    (row,) = store.models()
    assert row.is_complete


async def test_a_pinned_tag_is_shown_as_such(store: Store) -> None:
    await publish(store, LATEST, b"one")
    store.pin(LATEST)
    assert store.models()[0].is_pinned
    store.unpin(LATEST)
    assert not store.models()[0].is_pinned


async def test_a_holding_is_as_recent_as_its_last_pull(store: Store) -> None:
    content = await publish(store, LATEST, b"one", b"three")
    store.note_pulled(LATEST, NOON + 5)
    (holding,) = store.holdings()
    assert (holding.repository, holding.digest) == (TINY, digest_of(content))
    assert holding.blobs == (digest_of(b"one"), digest_of(b"three"))
    assert (holding.used_at, set(holding.names), holding.is_pinned) == (NOON + 5, {LATEST}, False)


async def test_a_holding_is_as_recent_and_as_pinned_as_any_of_its_tags(store: Store) -> None:
    await publish(store, LATEST, b"one")
    await publish(store, Reference(TINY, "1b"), b"one", at=NOON + 9)
    store.pin(LATEST)
    (holding,) = store.holdings()
    assert (holding.used_at, holding.is_pinned) == (NOON + 9, True)


async def test_a_manifest_that_its_tag_has_left_is_a_holding_without_a_name(store: Store) -> None:
    old = await publish(store, LATEST, b"one")
    await publish(store, LATEST, b"three", at=NOON + 1)
    unnamed = {each.digest: each for each in store.holdings() if not each.names}
    assert set(unnamed) == {digest_of(old)}
