"""The shelf: space is promised once, and what rests is found again."""

import errno
import os
from collections.abc import Iterator

import pytest

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.ranges import Span
from appliance.store.faults import StoreFullError
from appliance.store.layout import Layout
from appliance.store.pending import PendingBlob
from appliance.store.premises import Premises
from appliance.store.shelf import Shelf
from appliance.store.store import Store
from tests.appliance.store.samples import NOON, TINY, store_blob
from tests.fakes.disk import FailingDisk

A, B = b"a" * 600, b"b" * 600


@pytest.fixture
def shelf(premises: Premises) -> Iterator[Shelf]:
    shelf = Shelf(premises, [])
    yield shelf
    shelf.suspend_all()


def begin(shelf: Shelf, content: bytes, min_free_bytes: int = 0) -> PendingBlob:
    return shelf.begin(digest_of(content), len(content), TINY, min_free_bytes=min_free_bytes)


def test_space_that_is_promised_is_not_promised_again(shelf: Shelf, disk: FailingDisk) -> None:
    disk.free = 1000
    first = begin(shelf, A)
    with pytest.raises(StoreFullError) as caught:
        begin(shelf, B)
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (600, 400)
    first.cancel()
    begin(shelf, B)


def test_what_was_written_is_promised_no_longer(shelf: Shelf, disk: FailingDisk) -> None:
    disk.free = 1200
    first = begin(shelf, A)
    first.write(0, A[:500])
    disk.free = 700  # As the file system now says, with 500 bytes taken.
    begin(shelf, B)


def test_the_floor_stays_free(shelf: Shelf, disk: FailingDisk) -> None:
    disk.free = 1000
    with pytest.raises(StoreFullError):
        begin(shelf, A, min_free_bytes=401)
    begin(shelf, A, min_free_bytes=400)


def test_an_empty_blob_needs_no_more_than_the_floor(shelf: Shelf, disk: FailingDisk) -> None:
    disk.free = 10
    begin(shelf, b"", min_free_bytes=10).commit(stored_at=NOON)
    with pytest.raises(StoreFullError):
        begin(shelf, A, min_free_bytes=11)


def test_quarantine_gives_way_to_blobs_that_are_wanted(
    shelf: Shelf, premises: Premises, disk: FailingDisk
) -> None:
    kept = premises.layout.quarantined(digest_of(A))
    kept.write_bytes(b"wrong")
    begin(shelf, A).cancel()
    assert kept.exists()
    disk.free = 10
    with pytest.raises(StoreFullError):
        begin(shelf, A)
    assert not kept.exists()


def test_a_refused_beginning_keeps_what_rests(shelf: Shelf, disk: FailingDisk) -> None:
    pending = begin(shelf, A)
    pending.write(0, A[:100])
    pending.suspend()
    disk.free = 499
    with pytest.raises(StoreFullError):
        begin(shelf, A)
    disk.free = 500
    assert begin(shelf, A).held == SpanSet([Span(0, 100)])


def test_what_rests_under_another_size_is_dropped(shelf: Shelf, premises: Premises) -> None:
    pending = begin(shelf, A)
    pending.write(0, A[:100])
    pending.suspend()
    again = shelf.begin(digest_of(A), 700, TINY, min_free_bytes=0)
    assert again.held == SpanSet()
    assert premises.layout.pending_bytes(digest_of(A)).stat().st_size == 700
    assert not premises.layout.pending_note(digest_of(A)).exists()


def test_the_shelf_tells_what_is_on_it(shelf: Shelf) -> None:
    first, second = begin(shelf, A), begin(shelf, B)
    first.write(0, A[:100])
    second.write(0, B[:50])
    first.suspend()
    assert (shelf.count, shelf.held_size_bytes) == (2, 150)
    assert [note.digest for note in shelf.resting()] == [digest_of(A)]
    assert [shelf.held_of(digest_of(each)) for each in (A, B, b"")] == [100, 50, 0]
    second.cancel()
    assert (shelf.count, shelf.held_size_bytes) == (1, 100)


def test_dropping_removes_bytes_and_note(shelf: Shelf, premises: Premises) -> None:
    pending = begin(shelf, A)
    pending.write(0, A)
    pending.suspend()
    shelf.drop(digest_of(A))
    shelf.drop(digest_of(A))
    assert shelf.count == 0
    assert not list(premises.layout.pending.iterdir())


def test_all_are_suspended_even_if_one_fails(shelf: Shelf, disk: FailingDisk) -> None:
    first, second = begin(shelf, A), begin(shelf, B)
    first.write(0, A[:100])
    second.write(0, B[:100])
    disk.fail("sync_data", 5)
    with pytest.raises(OSError, match="Input/output"):
        shelf.suspend_all()
    disk.heal()
    assert shelf.count == 0


def test_one_digest_is_begun_once(shelf: Shelf) -> None:
    begin(shelf, A)
    with pytest.raises(AssertionError, match="one fill"):
        begin(shelf, A)


def test_a_blob_that_is_held_is_not_begun(shelf: Shelf) -> None:
    pending = begin(shelf, A)
    pending.write(0, A)
    pending.commit(stored_at=NOON)
    with pytest.raises(AssertionError, match="held"):
        begin(shelf, A)


def test_a_blob_that_cannot_be_begun_leaves_nothing_in_the_way(
    shelf: Shelf, disk: FailingDisk
) -> None:
    disk.fail("resize", errno.EFBIG)
    with pytest.raises(OSError, match="too large"):
        begin(shelf, A)
    disk.heal()
    begin(shelf, A).cancel()


def test_no_more_is_begun_than_the_store_may_hold(store: Store) -> None:
    store_blob(store, b"one")
    first = store.begin(digest_of(b"sixsix"), 6, TINY, min_free_bytes=0, max_size_bytes=9)
    with pytest.raises(StoreFullError):
        store.begin(digest_of(b"x"), 1, TINY, min_free_bytes=0, max_size_bytes=9)
    assert store.stats().reserved_bytes == 6
    first.write(0, b"six")
    assert store.stats().reserved_bytes == 3
    first.suspend()  # What rests takes no more than it holds.
    assert store.stats().reserved_bytes == 0
    store.begin(digest_of(b"xyz"), 3, TINY, min_free_bytes=0, max_size_bytes=9)


BAD = SpanSet([Span(100, 200)])


def withdraw(store: Store, content: bytes, bad: SpanSet = BAD) -> None:
    store.withdraw(digest_of(content), bad, TINY)


def test_a_withdrawn_blob_is_pending_with_all_but_its_bad_bytes(store: Store) -> None:
    store_blob(store, A)
    reader = store.open_blob(digest_of(A))
    withdraw(store, A)
    assert store.find_blob(digest_of(A)) is None
    assert store.stats().blob_size_bytes == 0
    pending = store.begin(digest_of(A), len(A), TINY, min_free_bytes=0)
    assert pending.held == SpanSet([Span(0, 100), Span(200, 600)])
    assert store.stats().reserved_bytes == 100
    pending.write(100, A[100:200])
    pending.commit(stored_at=NOON)
    assert os.pread(reader, 1000, 0) == A
    os.close(reader)
    assert store.verify().problems == ()


def test_only_a_blob_that_is_held_is_withdrawn(store: Store) -> None:
    with pytest.raises(BlobUnknown):
        withdraw(store, A)
    store_blob(store, A)
    Layout(store.root).blob(digest_of(A)).unlink()
    with pytest.raises(BlobUnknown):
        withdraw(store, A)
    assert store.verify().problems == ()
    assert store.stats().pending_count == 0
    store_blob(store, A)


def test_a_full_disk_leaves_the_blob_where_it_is(store: Store, disk: FailingDisk) -> None:
    store_blob(store, A)
    disk.fail("write_at", errno.ENOSPC)
    with pytest.raises(StoreFullError):
        withdraw(store, A)
    disk.heal()
    assert store.find_blob(digest_of(A)) is not None
    assert store.verify().problems == ()
    withdraw(store, A)
