"""Pending blobs: what is held, what is believed, and what a failing disk leaves."""

import errno
import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.blobs import Blobs
from appliance.store.encodings import decode_pending
from appliance.store.faults import DigestMismatchError, PendingClosedError, StoreFullError
from appliance.store.pending import CommitStep, PendingBlob
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord
from appliance.store.shelf import Shelf
from tests.appliance.store.samples import CONTENT, NOON, TINY
from tests.fakes.disk import FailingDisk

DIGEST = digest_of(CONTENT)
HALF = len(CONTENT) // 2


@pytest.fixture
def shelf(premises: Premises) -> Shelf:
    return Shelf(premises, [])


@pytest.fixture
def pending(shelf: Shelf) -> Iterator[PendingBlob]:
    pending = begin(shelf)
    yield pending
    pending.cancel()


def begin(shelf: Shelf, content: bytes = CONTENT) -> PendingBlob:
    return shelf.begin(digest_of(content), len(content), TINY, min_free_bytes=0)


def files_in(premises: Premises) -> list[str]:
    layout = premises.layout
    return sorted(
        str(path.relative_to(layout.root))
        for directory in (layout.pending, layout.blobs, layout.quarantine, layout.drafts)
        for path in directory.rglob("*")
        if path.is_file()
    )


def test_a_blob_written_in_order_is_committed(pending: PendingBlob, premises: Premises) -> None:
    for offset in range(0, len(CONTENT), 1000):
        pending.write(offset, CONTENT[offset : offset + 1000])
    record = pending.commit(stored_at=NOON)
    assert record == BlobRecord(DIGEST, len(CONTENT), NOON)
    assert premises.catalog.find_blob(DIGEST) == record
    assert premises.layout.blob(DIGEST).read_bytes() == CONTENT
    assert files_in(premises) == [f"blobs/sha256/{DIGEST.encoded[:2]}/{DIGEST.encoded}"]


def test_an_empty_blob_is_committed(shelf: Shelf, premises: Premises) -> None:
    pending = begin(shelf, b"")
    pending.write(0, b"")
    assert pending.commit(stored_at=NOON).size_bytes == 0
    assert premises.layout.blob(digest_of(b"")).read_bytes() == b""


def test_any_writes_hold_what_they_covered_and_commit_the_right_bytes(
    shelf: Shelf, premises: Premises
) -> None:
    content = random.Random(0).randbytes(100)

    @given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 60)), max_size=20), st.booleans())
    def check(writes: list[tuple[int, int]], as_view: bool) -> None:
        pending = begin(shelf, content)
        held = set()
        for start, size in writes:
            chunk = content[start : start + size]
            pending.write(start, memoryview(chunk) if as_view else bytearray(chunk))
            held |= set(range(start, start + len(chunk)))
            assert {byte for span in pending.held for byte in range(span.start, span.stop)} == held
        for gap in tuple(pending.held.missing(Span(0, 100))):
            pending.write(gap.start, content[gap.start : gap.stop])
        pending.commit(stored_at=NOON)
        assert premises.layout.blob(digest_of(content)).read_bytes() == content
        Blobs(premises).discard(digest_of(content))

    check()


def test_bytes_that_are_held_are_not_written_again(pending: PendingBlob) -> None:
    pending.write(100, CONTENT[100:200])
    pending.write(0, bytes(100) + b"\xff" * 200)
    fd = pending.open_reader()
    assert os.pread(fd, 100, 100) == CONTENT[100:200]
    os.close(fd)


def test_held_is_replaced_and_never_changed(pending: PendingBlob) -> None:
    before = pending.held
    pending.write(0, CONTENT[:10])
    assert before == SpanSet()
    assert pending.held == SpanSet([Span(0, 10)])


def test_steps_are_told_in_the_order_of_their_names(pending: PendingBlob) -> None:
    pending.write(0, CONTENT)
    steps: list[CommitStep] = []
    pending.commit(stored_at=NOON, on_step=steps.append)
    assert steps == list(CommitStep)


def test_the_record_comes_last(pending: PendingBlob, premises: Premises) -> None:
    pending.write(0, CONTENT)
    seen: dict[CommitStep, tuple[bool, bool]] = {}

    def look(step: CommitStep) -> None:
        is_recorded = premises.catalog.find_blob(DIGEST) is not None
        seen[step] = premises.layout.blob(DIGEST).exists(), is_recorded

    pending.commit(stored_at=NOON, on_step=look)
    assert seen[CommitStep.SYNCED] == (False, False)
    assert seen[CommitStep.RENAMED] == seen[CommitStep.DIRECTORY_SYNCED] == (True, False)
    assert seen[CommitStep.RECORDED] == (True, True)


def test_a_file_says_itself_when_it_was_stored(pending: PendingBlob, premises: Premises) -> None:
    pending.write(0, CONTENT)
    pending.commit(stored_at=NOON)
    assert premises.layout.blob(DIGEST).stat().st_mtime == pytest.approx(NOON)


@pytest.mark.parametrize("position", [0, HALF, len(CONTENT) - 1])
def test_one_wrong_bit_is_never_published(
    pending: PendingBlob, premises: Premises, position: int
) -> None:
    wrong = bytearray(CONTENT)
    wrong[position] ^= 1
    pending.write(0, wrong)
    pending.sync()
    with pytest.raises(DigestMismatchError) as caught:
        pending.commit(stored_at=NOON)
    assert (caught.value.digest, caught.value.actual) == (DIGEST, digest_of(bytes(wrong)))
    assert premises.catalog.find_blob(DIGEST) is None
    assert files_in(premises) == [f"quarantine/{DIGEST.encoded}"]


def test_a_file_that_grew_behind_our_back_is_never_published(
    pending: PendingBlob, premises: Premises
) -> None:
    pending.write(0, CONTENT)
    with premises.layout.pending_bytes(DIGEST).open("ab") as file:
        file.write(b"more")
    with pytest.raises(DigestMismatchError):
        pending.commit(stored_at=NOON)
    assert premises.catalog.find_blob(DIGEST) is None


def test_after_a_mismatch_the_blob_can_be_begun_again(
    shelf: Shelf, pending: PendingBlob, premises: Premises
) -> None:
    pending.write(0, bytes(len(CONTENT)))
    with pytest.raises(DigestMismatchError):
        pending.commit(stored_at=NOON)
    again = begin(shelf)
    again.write(0, CONTENT)
    again.commit(stored_at=NOON)
    assert premises.layout.blob(DIGEST).read_bytes() == CONTENT


def test_a_cancelled_blob_leaves_nothing(pending: PendingBlob, premises: Premises) -> None:
    pending.write(0, CONTENT)
    pending.sync()
    pending.cancel()
    assert files_in(premises) == []


def test_cancelling_after_commit_changes_nothing(pending: PendingBlob, premises: Premises) -> None:
    pending.write(0, CONTENT)
    pending.commit(stored_at=NOON)
    pending.cancel()
    pending.suspend()
    assert premises.layout.blob(DIGEST).read_bytes() == CONTENT


def test_nothing_can_be_done_with_a_closed_one(pending: PendingBlob) -> None:
    pending.cancel()
    for call in (
        lambda: pending.write(0, b"x"),
        lambda: pending.commit(stored_at=NOON),
        *(pending.sync, pending.open_reader),
    ):
        with pytest.raises(PendingClosedError, match="was cancelled"):
            call()


def test_a_reader_goes_on_past_the_commit(pending: PendingBlob) -> None:
    pending.write(0, CONTENT)
    fd = pending.open_reader()
    assert os.pread(fd, 10, 0) == CONTENT[:10]
    pending.commit(stored_at=NOON)
    assert os.pread(fd, len(CONTENT), 0) == CONTENT
    os.close(fd)


def test_a_note_speaks_of_synced_bytes_only(pending: PendingBlob, premises: Premises) -> None:
    pending.write(0, CONTENT[:10])
    pending.sync()
    pending.write(10, CONTENT[10:20])
    note = decode_pending(premises.layout.pending_note(DIGEST).read_bytes())
    assert note is not None
    assert (note.held, note.repository) == (SpanSet([Span(0, 10)]), TINY)


def test_syncing_what_is_noted_already_is_nothing(
    pending: PendingBlob, premises: Premises, disk: FailingDisk
) -> None:
    pending.sync()
    assert not premises.layout.pending_note(DIGEST).exists()
    pending.write(0, CONTENT[:10])
    pending.sync()
    disk.fail("sync_data", errno.EIO)
    pending.sync()


def test_a_suspended_one_goes_on_where_it_was(
    shelf: Shelf, pending: PendingBlob, premises: Premises
) -> None:
    pending.write(HALF, CONTENT[HALF:])
    pending.suspend()
    again = begin(shelf)
    assert again.held == SpanSet([Span(HALF, len(CONTENT))])
    again.write(0, CONTENT[:HALF])
    again.commit(stored_at=NOON)
    assert premises.layout.blob(DIGEST).read_bytes() == CONTENT


def test_with_nothing_held_there_is_nothing_to_suspend(
    pending: PendingBlob, premises: Premises
) -> None:
    pending.suspend()
    assert files_in(premises) == []


def test_a_full_disk_keeps_what_was_held(
    pending: PendingBlob, premises: Premises, disk: FailingDisk
) -> None:
    pending.write(0, CONTENT[:HALF])
    disk.fail("write_at", errno.ENOSPC)
    with pytest.raises(StoreFullError):
        pending.write(HALF, CONTENT[HALF:])
    assert pending.held == SpanSet([Span(0, HALF)])
    disk.heal()
    pending.write(HALF, CONTENT[HALF:])
    pending.commit(stored_at=NOON)
    assert premises.layout.blob(DIGEST).read_bytes() == CONTENT


@pytest.mark.parametrize("operation", ["sync", "rename", "sync_directory"])
def test_a_commit_that_fails_publishes_nothing(
    pending: PendingBlob, premises: Premises, disk: FailingDisk, operation: str
) -> None:
    pending.write(0, CONTENT)
    disk.fail(operation, errno.ENOSPC)
    with pytest.raises(StoreFullError):
        pending.commit(stored_at=NOON)
    disk.heal()
    assert premises.catalog.find_blob(DIGEST) is None
    with pytest.raises(PendingClosedError, match="disk"):
        pending.commit(stored_at=NOON)
    pending.cancel()
    assert files_in(premises) == []


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_sync_only_what_was_noted_before_is_believed(
    shelf: Shelf, pending: PendingBlob, disk: FailingDisk, number: int
) -> None:
    pending.write(0, CONTENT[:10])
    pending.sync()
    pending.write(10, CONTENT[10:20])
    disk.fail("sync_data", number)
    with pytest.raises((OSError, StoreFullError)):
        pending.sync()
    disk.heal()
    with pytest.raises(PendingClosedError):
        pending.sync()
    pending.suspend()
    again = begin(shelf)
    assert again.held == SpanSet([Span(0, 10)])
    again.cancel()


def test_a_note_that_cannot_be_written_leaves_the_old_one(
    pending: PendingBlob, premises: Premises, disk: FailingDisk
) -> None:
    pending.write(0, CONTENT[:10])
    pending.sync()
    pending.write(10, CONTENT[10:20])
    disk.fail("write_at", errno.ENOSPC)
    with pytest.raises(StoreFullError):
        pending.sync()
    note = decode_pending(premises.layout.pending_note(DIGEST).read_bytes())
    assert note is not None
    assert note.held == SpanSet([Span(0, 10)])
    disk.heal()
    pending.sync()


def test_cancel_waits_for_the_write_in_progress(pending: PendingBlob, disk: FailingDisk) -> None:
    inside, go_on = threading.Event(), threading.Event()
    whole = disk.write_at

    def slow(fd: int, chunk: memoryview, offset: int) -> None:
        inside.set()
        go_on.wait()
        whole(fd, chunk, offset)

    disk.write_at = slow  # type: ignore[method-assign]  # A disk that takes its time.
    writer = threading.Thread(target=lambda: pending.write(0, CONTENT))
    writer.start()
    inside.wait()
    canceller = threading.Thread(target=pending.cancel)
    canceller.start()
    os.close(pending.open_reader())  # Waits for neither, and finds it still open.
    go_on.set()
    writer.join()
    canceller.join()
    with pytest.raises(PendingClosedError):
        pending.open_reader()


def test_writes_run_beside_one_another(pending: PendingBlob, disk: FailingDisk) -> None:
    """Each waits, in the middle of its write, for the other to be in the middle of its own."""
    meeting, write_at = threading.Barrier(2), disk.write_at

    def write_together(fd: int, chunk: memoryview, offset: int) -> None:
        meeting.wait(10)
        write_at(fd, chunk, offset)

    disk.write_at = write_together  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        for writing in [
            threads.submit(pending.write, 0, CONTENT[:HALF]),
            threads.submit(pending.write, HALF, CONTENT[HALF:]),
        ]:
            writing.result()
    pending.commit(stored_at=NOON)


def test_of_two_writes_to_the_same_bytes_one_writes_them(
    pending: PendingBlob, disk: FailingDisk
) -> None:
    begun, may_write, write_at = threading.Event(), threading.Event(), disk.write_at
    offsets: list[int] = []

    def note_and_write(fd: int, chunk: memoryview, offset: int) -> None:
        offsets.append(offset)
        begun.set()
        assert may_write.wait(10)
        write_at(fd, chunk, offset)

    disk.write_at = note_and_write  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pending.write, 0, CONTENT[:HALF])
        assert begun.wait(10)
        second = threads.submit(pending.write, HALF - 10, bytes(10), CONTENT[HALF:])
        may_write.set()
        first.result()
        second.result()
    assert sorted(offsets) == [0, HALF]
    pending.commit(stored_at=NOON)


def test_commit_comes_when_all_is_held(pending: PendingBlob) -> None:
    pending.write(0, CONTENT[:-1])
    with pytest.raises(AssertionError, match="all bytes"):
        pending.commit(stored_at=NOON)


def test_bytes_outside_the_blob_are_a_programmers_error(pending: PendingBlob) -> None:
    with pytest.raises(AssertionError, match="inside"):
        pending.write(len(CONTENT), b"x")


def test_the_digest_follows_the_held_beginning(
    pending: PendingBlob, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_back: list[int] = []
    preadv = os.preadv

    def note(fd: int, buffers: list[memoryview], offset: int) -> int:
        read_back.append(offset)
        return preadv(fd, buffers, offset)

    pending.write(HALF, CONTENT[HALF:])
    pending.write(0, CONTENT[:HALF])
    pending.hash_along()
    monkeypatch.setattr(os, "preadv", note)
    assert pending.commit(stored_at=NOON).digest == DIGEST
    assert read_back == []


def test_a_sync_holds_up_no_write(pending: PendingBlob, disk: FailingDisk) -> None:
    is_syncing, may_end = threading.Event(), threading.Event()
    sync_data = disk.sync_data

    def slowly(fd: int) -> None:
        is_syncing.set()
        assert may_end.wait(30)
        sync_data(fd)

    disk.sync_data = slowly  # type: ignore[method-assign]
    pending.write(0, CONTENT[:10])
    syncing = threading.Thread(target=pending.sync)
    syncing.start()
    assert is_syncing.wait(30)
    pending.write(10, CONTENT[10:HALF])
    may_end.set()
    syncing.join()
    assert pending.held == SpanSet([Span(0, HALF)])


def test_a_sync_that_ends_after_a_cancel_leaves_nothing(
    pending: PendingBlob, disk: FailingDisk, premises: Premises
) -> None:
    def cancelled_meanwhile(fd: int) -> None:
        pending.cancel()

    disk.sync_data = cancelled_meanwhile  # type: ignore[method-assign]
    pending.write(0, CONTENT[:10])
    pending.sync()
    assert files_in(premises) == []


def test_a_disk_that_lets_nothing_go_does_not_keep_it_open(shelf: Shelf, disk: FailingDisk) -> None:
    pending = begin(shelf)
    disk.fail("remove", errno.EROFS)
    with pytest.raises(OSError, match="Read-only"):
        pending.cancel()
    disk.heal()
    pending.cancel()
    with pytest.raises(PendingClosedError):
        pending.open_reader()
