"""Recovery: each thing an earlier life can leave, finished or swept, and said."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.protocol.digest import Digest, digest_of
from appliance.store.encodings import encode_tag_file
from appliance.store.layout import Layout, tag_key
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import (
    CONTENT,
    LATEST,
    NOON,
    TINY,
    manifest_of,
    plant,
    store_blob,
    tag_of,
)

DIGEST = digest_of(CONTENT)
MANIFEST = manifest_of(CONTENT)
TAG = tag_of(MANIFEST)


@pytest.fixture
def layout(root: Path) -> Layout:
    """A store that was closed in order, with a model, and half of another blob."""
    with open_store(root) as store:
        store_blob(store, CONTENT)
        asyncio.run(store.write_manifest(TAG, MANIFEST))
        half = store.begin(digest_of(b"halves"), 6, TINY, min_free_bytes=0)
        half.write(0, b"hal")
    return Layout(root)


def is_whole(store: Store) -> bool:
    return store.find_blob(DIGEST) is not None and store.find_tag(LATEST, TAG.accept) is not None


def half_is_kept(store: Store) -> bool:
    return [note.digest for note in store.unfinished()] == [digest_of(b"halves")]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge_tag(layout: Layout) -> None:
    """The next manifest, published up to the tag file: the index has not heard of it."""
    content = manifest_of(b"next")
    plant(layout.manifest(digest_of(content)), content)
    tag = layout.tag(tag_key(LATEST, TAG.accept))
    new = tag.read_bytes().replace(
        str(digest_of(MANIFEST)).encode(), str(digest_of(content)).encode()
    )
    new = new.replace(
        f'"size_bytes": {len(MANIFEST)}'.encode(), f'"size_bytes": {len(content)}'.encode()
    )
    tag.write_bytes(new)


def rename_tag(layout: Layout) -> None:
    layout.tag(STRAY).parent.mkdir()
    layout.tag(tag_key(LATEST, TAG.accept)).rename(layout.tag(STRAY))


@dataclass(frozen=True)
class Case:
    name: str
    damage: Callable[[Layout], object]
    told: str
    holds: Callable[[Store], bool]


STRAY = digest_of(b"stray")
HALVES = digest_of(b"halves")

CASES = [
    Case(
        "a blob file without a record",
        lambda at: plant(at.blob(STRAY), b"stray"),
        f"Recorded {STRAY} (5 bytes)",
        lambda store: is_whole(store) and store.find_blob(STRAY) is not None,
    ),
    Case(
        "a blob file without a record, and of other bytes",
        lambda at: plant(at.blob(STRAY), b"strax"),
        f"Quarantined {STRAY}",
        lambda store: store.find_blob(STRAY) is None and store.stats().quarantined_count == 1,
    ),
    Case(
        "a record without a file",
        lambda at: at.blob(DIGEST).unlink(),
        f"Forgot {DIGEST}",
        lambda store: store.find_blob(DIGEST) is None and store.stats().blob_count == 0,
    ),
    Case(
        "a blob of another size",
        lambda at: at.blob(DIGEST).write_bytes(CONTENT[:-1]),
        f"Quarantined {DIGEST}",
        lambda store: store.find_blob(DIGEST) is None and store.stats().quarantined_count == 1,
    ),
    Case(
        "a draft",
        lambda at: at.draft(7).write_bytes(b"{"),
        "Removed tmp/7",
        lambda store: is_whole(store) and half_is_kept(store),
    ),
    Case(
        "a manifest that no tag names",
        lambda at: plant(at.manifest(STRAY), b"stray"),
        f"Removed manifests/sha256/{STRAY.encoded[:2]}/{STRAY.encoded}: no tag names it",
        is_whole,
    ),
    Case(
        "a tag whose manifest is gone",
        lambda at: at.manifest(digest_of(MANIFEST)).unlink(),
        "is not sound",
        lambda store: store.find_tag(LATEST, TAG.accept) is None and store.models() == [],
    ),
    Case(
        "a tag whose manifest was cut short",
        lambda at: at.manifest(digest_of(MANIFEST)).write_bytes(MANIFEST[:-1]),
        "is not sound",
        lambda store: store.find_tag(LATEST, TAG.accept) is None,
    ),
    Case(
        "a tag file that cannot be read",
        lambda at: at.tag(tag_key(LATEST, TAG.accept)).write_bytes(b"\0" * 300),
        "not what its name says",
        lambda store: store.find_tag(LATEST, TAG.accept) is None and store.models() == [],
    ),
    Case(
        "a tag file under another's name",
        rename_tag,
        "not what its name says",
        lambda store: store.find_tag(LATEST, TAG.accept) is None,
    ),
    Case(
        "a tag file that is gone",
        lambda at: at.tag(tag_key(LATEST, TAG.accept)).unlink(),
        "its file is gone",
        lambda store: store.find_tag(LATEST, TAG.accept) is None and store.models() == [],
    ),
    Case(
        "a tag that moved without the index",
        forge_tag,
        "as its file says",
        lambda store: (
            store.models()[0].digest == digest_of(manifest_of(b"next"))
            and [move.old for move in store.tag_moves(LATEST)] == [digest_of(MANIFEST)]
        ),
    ),
    Case(
        "pending bytes without a note",
        lambda at: at.pending_note(HALVES).unlink(),
        f"Removed pending/{HALVES.encoded}:",
        lambda store: is_whole(store) and store.unfinished() == (),
    ),
    Case(
        "a note without its bytes",
        lambda at: at.pending_bytes(HALVES).unlink(),
        f"Removed pending/{HALVES.encoded}.json:",
        lambda store: is_whole(store) and store.unfinished() == (),
    ),
    Case(
        "a note that cannot be read",
        lambda at: at.pending_note(HALVES).write_bytes(b"{"),
        f"Removed pending/{HALVES.encoded}:",
        lambda store: store.unfinished() == () and store.stats().pending_count == 0,
    ),
    Case(
        "pending bytes cut short of their note",
        lambda at: at.pending_bytes(HALVES).write_bytes(b"ha"),
        f"Removed pending/{HALVES.encoded}:",
        lambda store: store.unfinished() == (),
    ),
    Case(
        "another's note",
        lambda at: at.pending_note(HALVES).rename(at.pending_note(STRAY)),
        f"Removed pending/{STRAY.encoded}.json:",
        lambda store: store.unfinished() == (),
    ),
    Case(
        "a file of no name of ours among the pending",
        lambda at: (at.pending / "notes.txt").write_bytes(b"?"),
        "Removed pending/notes.txt",
        half_is_kept,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_set_right_and_said_once(layout: Layout, case: Case) -> None:
    case.damage(layout)
    with open_store(layout.root) as store:
        assert any(case.told in sentence for sentence in store.recovery), store.recovery
        assert case.holds(store)
        assert store.verify().problems == ()
    with open_store(layout.root) as store:
        assert store.recovery == ()
        assert case.holds(store)


def test_a_store_that_was_closed_in_order_needs_nothing(layout: Layout) -> None:
    with open_store(layout.root) as store:
        assert store.recovery == ()
        assert is_whole(store)
        assert half_is_kept(store)


def test_what_arrives_of_a_blob_that_is_held_is_dropped(layout: Layout) -> None:
    layout.pending_bytes(DIGEST).write_bytes(CONTENT)
    layout.pending_note(DIGEST).write_text("{}")
    with open_store(layout.root) as store:
        assert len(store.recovery) == 2
        assert is_whole(store)


def test_when_it_was_checked_survives_a_start(layout: Layout) -> None:
    with open_store(layout.root) as store:
        store.note_checked(TAG, NOON + 60)
    with open_store(layout.root) as store:
        tag = store.find_tag(LATEST, TAG.accept)
        assert tag is not None
        assert tag.checked_at == NOON + 60


def test_a_recorded_blob_is_not_read_at_start(layout: Layout) -> None:
    """What a flipped bit means is for `verify` to find: reading terabytes is not for a start."""
    flip(layout.blob(DIGEST))
    with open_store(layout.root) as store:
        assert store.recovery == ()
        assert any(str(DIGEST) in problem for problem in store.verify().problems)


def test_a_rebuilt_index_believes_names_and_asks_manifests_for_sizes(layout: Layout) -> None:
    layout.blob(DIGEST).write_bytes(CONTENT[:-1])
    for path in layout.index.iterdir():
        path.unlink()
    with open_store(layout.root) as store:
        assert store.find_blob(DIGEST) is None
        assert store.stats().quarantined_count == 1
        assert store.find_tag(LATEST, TAG.accept) is not None


def test_a_bad_sector_under_an_unrecorded_blob_does_not_stop_the_start(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> Digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    plant(layout.blob(STRAY), b"stray")
    monkeypatch.setattr("appliance.store.recovery.hash_file", fail)
    with open_store(layout.root) as store:
        assert store.find_blob(STRAY) is None
        assert is_whole(store)


def test_files_that_may_not_be_read_stop_the_start_and_stay(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody ran the box as another user once: nothing of that is damage."""

    def refuse(path: Path) -> Digest:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    plant(layout.blob(STRAY), b"stray")
    monkeypatch.setattr("appliance.store.recovery.hash_file", refuse)
    with pytest.raises(PermissionError):
        open_store(layout.root)
    assert layout.blob(STRAY).exists()


def test_a_tag_on_a_page_that_is_no_manifest_goes(layout: Layout) -> None:
    page = b"<html>"
    plant(layout.manifest(digest_of(page)), page)
    plant(
        layout.tag(tag_key(LATEST, "application/other")),
        encode_tag_file(tag_of(page, accept="application/other")),
    )
    with open_store(layout.root) as store:
        assert store.find_tag(LATEST, "application/other") is None
        assert is_whole(store)


def test_names_that_are_no_blobs_are_left_to_whoever_put_them_there(layout: Layout) -> None:
    plant(layout.blobs / "00" / "notes.txt", b"?")
    (layout.drafts / "directory").mkdir()
    with open_store(layout.root) as store:
        assert store.recovery == ()
        assert store.verify().problems == ("blobs/sha256/00/notes.txt is no blob's name.",)


def test_a_stranger_with_a_longer_name_is_not_taken_for_the_blob(layout: Layout) -> None:
    plant(layout.blob(DIGEST).with_name(f"{DIGEST.encoded}.json"), b"somebody's notes")
    with open_store(layout.root) as store:
        assert store.recovery == ()
        assert is_whole(store)
