"""Checksums: they find the damaged 16 MiB, survive the index, and are never made of wrong bytes."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.ranges import Span
from appliance.store.encodings import encode_checksums
from appliance.store.layout import Layout
from appliance.store.pending import CommitStep
from appliance.store.records import CHECKED_SPAN_BYTES as SPAN
from appliance.store.records import Checksums
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import CONTENT, NOON, TINY, plant, store_blob

LARGE = b"abcdefgh" * (SPAN // 8) * 2 + CONTENT  # Two spans and a shorter one.
DIGEST = digest_of(LARGE)
SPANS = [Span(0, SPAN), Span(SPAN, 2 * SPAN), Span(2 * SPAN, len(LARGE))]


@pytest.fixture
def layout(root: Path) -> Layout:
    return Layout(root)


def flip(path: Path, *offsets: int) -> None:
    """Turn one bit of the byte at each offset."""
    with path.open("r+b") as file:
        for offset in offsets:
            (byte,) = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)


def bad_spans(store: Store) -> list[Span]:
    return [span for span, is_right in store.check_blob(DIGEST) if is_right is False]


def test_a_sound_blob_is_right_in_every_span(store: Store) -> None:
    store_blob(store, LARGE)
    assert list(store.check_blob(DIGEST)) == [(span, True) for span in SPANS]
    checksums = store.read_checksums(DIGEST)
    assert checksums is not None
    assert [span for span, _ in checksums.spans()] == SPANS


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_wrong_bit_is_found_where_it_is(store: Store, layout: Layout, number: int) -> None:
    store_blob(store, LARGE)
    flip(layout.blob(DIGEST), SPANS[number].stop - 1)
    assert bad_spans(store) == [SPANS[number]]
    (problem,) = store.verify().problems
    assert f"wrong are the bytes {SPANS[number].start}-{SPANS[number].stop - 1}." in problem


def test_writes_in_any_order_give_the_same_checksums(store: Store, layout: Layout) -> None:
    store_blob(store, LARGE)
    written = layout.checksums(DIGEST).read_bytes()
    store.discard_blob(DIGEST)
    pending = store.begin(DIGEST, len(LARGE), TINY, min_free_bytes=0)
    for start in (SPAN + 1, 0, SPAN // 2):
        pending.write(start, LARGE[start : start + SPAN])
        pending.hash_along()
    pending.write(2 * SPAN, LARGE[2 * SPAN :])
    pending.commit(stored_at=NOON)
    assert layout.checksums(DIGEST).read_bytes() == written


def test_they_survive_a_deleted_index_also_over_bytes_that_rotted(layout: Layout) -> None:
    with open_store(layout.root) as store:
        store_blob(store, LARGE)
    flip(layout.blob(DIGEST), SPAN)
    shutil.rmtree(layout.index)
    with open_store(layout.root) as again:
        assert bad_spans(again) == [SPANS[1]]


@pytest.mark.parametrize("harm", [lambda path: flip(path, 14), lambda path: path.unlink()])
def test_without_sound_checksums_the_blob_is_one_span(
    store: Store, layout: Layout, harm: Callable[[Path], None]
) -> None:
    """As for blobs of versions that kept none."""
    store_blob(store, LARGE)
    harm(layout.checksums(DIGEST))
    assert store.read_checksums(DIGEST) is None
    flip(layout.blob(DIGEST), 5)
    assert bad_spans(store) == [Span(0, len(LARGE))]
    flip(layout.blob(DIGEST), 5)
    steps = [(span, None) for span in SPANS[:2]]
    assert list(store.check_blob(DIGEST)) == [*steps, (Span(0, len(LARGE)), True)]
    assert list(store.check_blob(DIGEST)) == [(span, True) for span in SPANS]


def test_a_check_goes_on_from_where_one_was(store: Store) -> None:
    store_blob(store, LARGE)
    assert [span for span, _ in store.check_blob(DIGEST, SPAN)] == SPANS[1:]


def test_a_blob_let_go_of_meanwhile_is_not_judged(store: Store) -> None:
    store_blob(store, LARGE)
    check = store.check_blob(DIGEST)
    next(check)
    store.discard_blob(DIGEST)
    with pytest.raises(BlobUnknown):
        next(check)


def test_damaged_checksums_of_a_sound_blob_are_told(store: Store, layout: Layout) -> None:
    store_blob(store, LARGE)
    flip(layout.checksums(DIGEST), 14)
    assert store.verify().problems == (
        f"The checksums of {DIGEST} are wrong, and its bytes are right.",
    )


def test_checksums_that_find_nothing_say_so(store: Store, layout: Layout) -> None:
    store_blob(store, LARGE)
    flip(layout.blob(DIGEST), 0)
    wrong = store.read_checksums(DIGEST)
    assert wrong is not None
    (_, *rest) = wrong.crc32s
    with open_store(layout.root.parent / "other") as other:
        rotten = bytes([LARGE[0] ^ 1]) + LARGE[1:]
        store_blob(other, rotten)
        found = other.read_checksums(digest_of(rotten))
    assert found is not None
    same = Checksums(len(LARGE), (found.crc32s[0], *rest))
    layout.checksums(DIGEST).write_bytes(encode_checksums(same))
    (problem,) = store.verify().problems
    assert problem.endswith("; its checksums do not tell where.")


def test_a_blob_of_one_span_has_none_and_needs_none(store: Store, layout: Layout) -> None:
    record = store_blob(store, CONTENT)
    store_blob(store, b"")
    assert not list(layout.all_checksums.iterdir())
    assert list(store.check_blob(record.digest)) == [(Span(0, len(CONTENT)), True)]
    assert list(store.check_blob(digest_of(b""))) == []
    assert store.verify().problems == ()


def test_they_go_with_their_blob(store: Store, layout: Layout) -> None:
    store_blob(store, LARGE)
    store.discard_blob(DIGEST)
    assert not layout.checksums(DIGEST).exists()
    with pytest.raises(BlobUnknown):
        store.read_checksums(DIGEST)
    with pytest.raises(BlobUnknown):
        list(store.check_blob(DIGEST))


def test_wrong_bytes_leave_no_checksums(store: Store, layout: Layout) -> None:
    pending = store.begin(DIGEST, len(LARGE), TINY, min_free_bytes=0)
    pending.write(0, b"x" + LARGE[1:])
    with pytest.raises(Exception, match="the bytes are"):
        pending.commit(stored_at=NOON)
    assert not list(layout.all_checksums.iterdir())


def test_cut_before_the_blob_has_its_name_they_are_swept(layout: Layout) -> None:
    def cut(step: CommitStep) -> None:
        if step is CommitStep.CHECKSUMMED:
            raise OSError("the power is gone")

    with open_store(layout.root) as store:
        pending = store.begin(DIGEST, len(LARGE), TINY, min_free_bytes=0)
        pending.write(0, LARGE)
        with pytest.raises(OSError, match="power"):
            pending.commit(stored_at=NOON, on_step=cut)
        assert layout.checksums(DIGEST).exists()
        (told,) = store.verify().problems[:1]
        assert told.endswith("is no blob's checksums.")
        pending.cancel()
    with open_store(layout.root) as again:
        assert not layout.checksums(DIGEST).exists()
        assert again.verify().problems == ()


def test_a_blob_that_recovery_hashes_again_gets_its_own(layout: Layout) -> None:
    open_store(layout.root).close()
    plant(layout.blob(DIGEST), LARGE)
    with open_store(layout.root) as again:
        checksums = again.read_checksums(DIGEST)
        assert checksums is not None
        assert [span for span, _ in checksums.spans()] == SPANS


def test_what_cannot_be_read_is_not_right(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store_blob(store, LARGE)
    preadv = os.preadv

    def fail(fd: int, buffers: list[memoryview], offset: int) -> int:
        if offset == SPAN + 256 * 1024:
            raise OSError("a bad sector")
        return preadv(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", fail)
    assert bad_spans(store) == [SPANS[1]]
