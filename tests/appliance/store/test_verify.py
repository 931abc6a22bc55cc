"""Verify: whatever is done to the files behind the store's back is told, in a sentence."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import parse_manifest
from appliance.store.catalog import Catalog
from appliance.store.layout import Layout, tag_key
from appliance.store.ledger import Ledger
from appliance.store.manifests import Manifests, manifest_record
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, ManifestRecord
from appliance.store.store import Store
from appliance.store.verify import verify
from tests.appliance.store.samples import CONTENT, TINY, manifest_of, plant, store_blob, tag_of

DIGEST = digest_of(CONTENT)
MANIFEST = manifest_of(CONTENT)
TAG = tag_of(MANIFEST)
TAG_KEY = tag_key(TAG.reference, TAG.accept)
HALVES = digest_of(b"halves")
STRAY = digest_of(b"stray")


@pytest.fixture
async def layout(root: Path, store: Store) -> Layout:
    store_blob(store, CONTENT)
    await store.write_manifest(TAG, MANIFEST)
    pending = store.begin(HALVES, 6, TINY, min_free_bytes=0)
    pending.write(0, b"hal")
    pending.sync()
    return Layout(root)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_sound_store_has_no_problems(store: Store, layout: Layout) -> None:
    report = store.verify()
    assert report.problems == ()
    assert (report.blob_count, report.read_size_bytes) == (1, len(CONTENT))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        pytest.param(lambda at: flip(at.blob(DIGEST)), "holds the bytes of", id="a flipped bit"),
        pytest.param(
            lambda at: at.blob(DIGEST).write_bytes(b"short"), "has 5 of", id="a short blob"
        ),
        pytest.param(lambda at: at.blob(DIGEST).unlink(), "file is gone", id="a lost blob"),
        pytest.param(
            lambda at: plant(at.blob(STRAY), b"stray"), "has no record", id="a stray blob"
        ),
        pytest.param(
            lambda at: plant(at.blobs / "00" / "x", b""), "no blob's name", id="a strange name"
        ),
        pytest.param(
            lambda at: flip(at.manifest(TAG.digest)), "holds the bytes of", id="a bent manifest"
        ),
        pytest.param(
            lambda at: at.manifest(TAG.digest).unlink(), "file is gone", id="a lost manifest"
        ),
        pytest.param(
            lambda at: plant(at.manifest(STRAY), b""), "no recorded manifest", id="a stray manifest"
        ),
        pytest.param(lambda at: at.tag(TAG_KEY).unlink(), "file is gone", id="a lost tag"),
        pytest.param(
            lambda at: at.tag(TAG_KEY).write_bytes(b"{"), "is no tag's file", id="a bent tag"
        ),
        pytest.param(
            lambda at: at.tag(TAG_KEY).write_bytes(
                at.tag(TAG_KEY).read_bytes().replace(TAG.digest.encoded.encode(), b"0" * 64)
            ),
            "is recorded as",
            id="a tag that moved alone",
        ),
        pytest.param(
            lambda at: at.pending_bytes(HALVES).unlink(), "are gone", id="lost pending bytes"
        ),
        pytest.param(
            lambda at: at.pending_bytes(HALVES).write_bytes(b"h"),
            "not of the size",
            id="pending bytes cut short",
        ),
        pytest.param(
            lambda at: at.pending_note(HALVES).write_bytes(b"{"),
            "no pending blob's note",
            id="a bent note",
        ),
    ],
)
def test_damage_is_told(
    store: Store, layout: Layout, damage: Callable[[Layout], object], told: str
) -> None:
    damage(layout)
    problems = store.verify().problems
    assert any(told in problem for problem in problems), problems
    assert all(problem.endswith(".") for problem in problems)


def test_a_blob_that_cannot_be_read_is_told(
    store: Store, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, note_read: object) -> Digest:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("appliance.store.verify.hash_file", fail)
    assert store.verify().problems == (f"The blob {DIGEST} cannot be read: Input/output error.",)


def of(content: bytes) -> ManifestRecord:
    manifest = parse_manifest(content)
    return manifest_record(TINY, digest_of(content), content, manifest)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        pytest.param(
            lambda at: at.settle([TAG], []), "names", id="a tag whose manifest has no record"
        ),
        pytest.param(
            lambda at: at.settle([], [of(MANIFEST)]), "has no record", id="a tag without a record"
        ),
        pytest.param(
            lambda at: at.settle([TAG], [replace(of(MANIFEST), size_bytes=1)]),
            "with 1 bytes",
            id="another size",
        ),
        pytest.param(
            lambda at: at.settle([TAG], [replace(of(MANIFEST), blobs=())]),
            "does not list",
            id="blobs that are not listed",
        ),
        pytest.param(
            lambda at: at.settle([TAG], [of(MANIFEST), replace(of(MANIFEST), digest=STRAY)]),
            "file is gone",
            id="a manifest without a file",
        ),
    ],
)
async def test_an_index_that_says_other_things_than_the_files_is_told(
    premises: Premises, ledger: Ledger, record: Callable[[Catalog], None], told: str
) -> None:
    await Manifests(premises, ledger).write(TAG, MANIFEST)
    assert verify(premises).problems == ()
    record(premises.catalog)
    problems = verify(premises).problems
    assert any(told in problem for problem in problems), problems


async def test_a_file_that_is_no_manifest_is_told(premises: Premises) -> None:
    page = b"<html>"
    plant(premises.layout.manifest(digest_of(page)), page)
    found = ManifestRecord(TINY, digest_of(page), len(page), ())
    premises.catalog.settle([], [found])
    (problem,) = verify(premises).problems
    assert "not JSON" in problem


class Restless(Catalog):
    """Whatever is read from it, something happens to the store behind the reader's back, once."""

    def __init__(self, catalog: Catalog, happens: Callable[[], None]) -> None:
        vars(self).update(vars(catalog))
        self._happens: Callable[[], None] | None = happens

    def blobs(self) -> list[BlobRecord]:
        records = super().blobs()
        happens, self._happens = self._happens, None
        if happens is not None:
            happens()
        return records


@pytest.mark.parametrize("deed", ["committed", "let go"])
def test_what_changes_meanwhile_is_no_problem(store: Store, layout: Layout, deed: str) -> None:
    def happens() -> None:
        if deed == "committed":
            store_blob(store, b"meanwhile")
        else:
            store.discard_blob(DIGEST)

    at = store._premises
    assert verify(Premises(layout, at.disk, Restless(at.catalog, happens))).problems == ()
