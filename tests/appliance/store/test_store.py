"""The store against a dictionary: whatever is done to it, in whatever order, closed or not."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.reference import Reference, Repository
from appliance.store.faults import DigestMismatchError, StoreUnmarkedError
from appliance.store.pending import PendingBlob
from appliance.store.records import TagRecord
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import (
    CONTENT,
    LATEST,
    NOON,
    TINY,
    manifest_of,
    store_blob,
    tag_of,
)

BLOBS = [b"", b"one", b"three", bytes(300)]
REFERENCES = [Reference(Repository("library", name), tag) for name in "ab" for tag in ("x", "y")]
ACCEPTS = ["application/a", "application/b"]
A_BLOB = st.sampled_from(BLOBS)


class StoreAgainstDictionary(RuleBasedStateMachine):
    """`blobs`, `tags`, `parts` are what the store should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="store-"))
        self.runner = asyncio.Runner()
        self.store = open_store(self.root / "state")
        self.now = NOON
        self.blobs: dict[Digest, bytes] = {}
        self.tags: dict[tuple[Reference, str], TagRecord] = {}
        self.manifests: dict[Digest, bytes] = {}
        self.moves: dict[Reference, list[tuple[Digest, Digest]]] = {}
        self.parts: dict[Digest, set[int]] = {}
        self.open: dict[Digest, PendingBlob] = {}

    @initialize()
    def start(self) -> None:
        assert self.store.recovery == ()

    def pending(self, blob: bytes) -> PendingBlob | None:
        digest = digest_of(blob)
        if digest in self.blobs:
            return None
        if digest not in self.open:
            self.open[digest] = self.store.begin(digest, len(blob), TINY, min_free_bytes=0)
            self.parts.setdefault(digest, set())
        return self.open[digest]

    @rule(blob=A_BLOB, start=st.integers(0, 299), size=st.integers(1, 299))
    def write(self, blob: bytes, start: int, size: int) -> None:
        chunk, pending = blob[start : start + size], self.pending(blob)
        if pending is not None:
            pending.write(start, chunk) if chunk else None
            self.parts[digest_of(blob)] |= set(range(start, start + len(chunk)))

    @rule(blob=A_BLOB)
    def commit(self, blob: bytes) -> None:
        digest, pending = digest_of(blob), self.pending(blob)
        if pending is not None and len(self.parts[digest]) == len(blob):
            self.now += 1
            pending.commit(stored_at=self.now)
            self.blobs[digest] = blob
            del self.open[digest], self.parts[digest]

    @rule(blob=A_BLOB)
    def commit_wrong_bytes(self, blob: bytes) -> None:
        digest, pending = digest_of(blob), self.pending(blob)
        if pending is None or not blob or self.parts[digest]:
            return
        pending.write(0, bytes([blob[0] ^ 1]) + blob[1:])
        with pytest.raises(DigestMismatchError):
            pending.commit(stored_at=self.now)
        del self.open[digest], self.parts[digest]

    @rule(blob=A_BLOB)
    def cancel(self, blob: bytes) -> None:
        if (pending := self.open.pop(digest_of(blob), None)) is not None:
            pending.cancel()
            del self.parts[digest_of(blob)]

    @rule(blob=A_BLOB)
    def suspend(self, blob: bytes) -> None:
        if (pending := self.open.pop(digest_of(blob), None)) is not None:
            pending.suspend()
            if not self.parts[digest_of(blob)]:
                del self.parts[digest_of(blob)]

    @rule(blob=A_BLOB)
    def discard(self, blob: bytes) -> None:
        self.store.discard_blob(digest_of(blob))
        self.blobs.pop(digest_of(blob), None)

    @rule(
        reference=st.sampled_from(REFERENCES),
        accept=st.sampled_from(ACCEPTS),
        blobs=st.lists(A_BLOB, max_size=3),
    )
    def publish(self, reference: Reference, accept: str, blobs: list[bytes]) -> None:
        self.now += 1
        content = manifest_of(*blobs)
        tag = tag_of(content, reference, accept, self.now)
        self.runner.run(self.store.write_manifest(tag, content))
        before = self.tags.get((reference, accept))
        if before is not None and before.digest != tag.digest:
            self.moves.setdefault(reference, []).append((before.digest, tag.digest))
        self.tags[reference, accept] = tag
        self.manifests[tag.digest] = content

    @rule(blob=A_BLOB)
    def flip_a_bit_on_disk(self, blob: bytes) -> None:
        """`verify` finds it; then it is let go, and what is wrong was never the store's answer."""
        digest = digest_of(blob)
        if not blob or digest not in self.blobs:
            return
        path = self.root / "state" / "blobs" / "sha256" / digest.encoded[:2] / digest.encoded
        path.write_bytes(bytes([blob[0] ^ 1]) + blob[1:])
        (problem,) = self.store.verify().problems
        assert str(digest) in problem
        self.discard(blob)

    @rule()
    def open_again(self) -> None:
        self.close()
        self.store = open_store(self.root / "state")
        assert self.store.verify().problems == ()

    @precondition(lambda self: self.blobs or self.tags)
    @rule()
    def lose_the_index(self) -> None:
        before = self.store.models()
        self.close()
        shutil.rmtree(self.root / "state" / "index")
        self.store = open_store(self.root / "state")
        assert [each for each in self.store.recovery if "Rebuilt" in each]
        assert self.store.models() == before
        for key, tag in self.tags.items():
            assert self.store.find_tag(*key) is not None
            self.store.note_checked(tag, tag.checked_at)

    def close(self) -> None:
        self.store.close()
        for digest in self.open:
            if not self.parts[digest]:
                del self.parts[digest]
        self.open.clear()

    @invariant()
    def blobs_are_those_of_the_dictionary(self) -> None:
        for blob in BLOBS:
            digest = digest_of(blob)
            record = self.store.find_blob(digest)
            assert (record is not None) == (digest in self.blobs)
            with contextlib.suppress(BlobUnknown):
                fd = self.store.open_blob(digest)
                assert digest in self.blobs
                assert os.pread(fd, 1000, 0) == blob
                os.close(fd)
        stats = self.store.stats()
        assert stats.blob_count == len(self.blobs)
        assert stats.blob_size_bytes == sum(map(len, self.blobs.values()))
        assert stats.pending_held_bytes == sum(map(len, self.parts.values()))

    @invariant()
    def tags_are_those_of_the_dictionary(self) -> None:
        for reference in REFERENCES:
            for accept in ACCEPTS:
                assert self.store.find_tag(reference, accept) == self.tags.get((reference, accept))
        for tag in self.tags.values():
            content = self.runner.run(self.store.read_manifest(tag.digest))
            assert content == self.manifests[tag.digest]
        assert {row.reference for row in self.store.models()} == {ref for ref, _ in self.tags}
        for reference in REFERENCES:
            moves = [(move.old, move.new) for move in self.store.tag_moves(reference)]
            assert moves == self.moves.get(reference, [])

    @invariant()
    def what_a_tag_names_is_listed(self) -> None:
        for tag in self.tags.values():
            for blob in BLOBS:
                if str(digest_of(blob)).encode() in self.manifests[tag.digest]:
                    listed = self.store.lists(tag.reference.repository, digest_of(blob))
                    assert listed == len(blob)

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()
        shutil.rmtree(self.root)


TestStoreAgainstDictionary = StoreAgainstDictionary.TestCase
TestStoreAgainstDictionary.settings = settings(
    max_examples=max(40, settings().max_examples // 10), stateful_step_count=30
)


async def test_totals_add_up_and_survive(root: Path) -> None:
    with open_store(root) as store:
        store.add_totals("2026-01-01", {"hits": 2})
        store.add_totals("2026-01-02", {"hits": 3, "misses": 1})
    with open_store(root) as store:
        assert store.totals() == {"hits": 5, "misses": 1}
        assert store.totals_by_day()["2026-01-02"] == {"hits": 3, "misses": 1}


async def test_a_close_keeps_what_is_pending(root: Path) -> None:
    with open_store(root) as store:
        pending = store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
        pending.write(0, CONTENT[:100])
    with open_store(root) as store:
        (note,) = store.unfinished()
        assert (note.digest, note.repository, note.held.size_bytes) == (
            digest_of(CONTENT),
            TINY,
            100,
        )
        assert store.stats().pending_held_bytes == 100
        pending = store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
        pending.write(100, CONTENT[100:])
        pending.commit(stored_at=NOON)
        assert store.unfinished() == ()
        assert store.stats().pending_count == 0


async def test_stats_count_what_there_is(store: Store) -> None:
    store_blob(store, CONTENT)
    content = manifest_of(CONTENT)
    await store.write_manifest(tag_of(content), content)
    pending = store.begin(digest_of(b"wrong"), 5, TINY, min_free_bytes=0)
    pending.write(0, b"right")
    assert (store.stats().pending_count, store.stats().pending_held_bytes) == (1, 5)
    with pytest.raises(DigestMismatchError):
        pending.commit(stored_at=NOON)
    stats = store.stats()
    assert (stats.blob_count, stats.blob_size_bytes) == (1, len(CONTENT))
    assert (stats.manifest_count, stats.pending_count, stats.quarantined_count) == (1, 0, 1)
    assert stats.free_bytes > 0


async def test_an_unknown_blob_and_tag_are_none(store: Store) -> None:
    assert store.find_blob(digest_of(b"")) is None
    assert store.find_tag(LATEST, "application/a") is None
    assert store.lists(TINY, digest_of(b"")) is None
    assert await store.read_manifest(digest_of(b"")) is None


async def test_many_threads_and_the_loop_share_a_store(store: Store) -> None:
    contents = [bytes([number]) * 5000 for number in range(12)]
    fills = [asyncio.to_thread(store_blob, store, content) for content in contents]
    manifest = manifest_of(*contents)
    await asyncio.gather(*fills, store.write_manifest(tag_of(manifest), manifest))
    assert store.stats().blob_count == 12
    assert store.models()[0].is_complete
    assert store.verify().problems == ()


async def test_a_forgotten_manifest_goes_with_its_tags_and_not_from_elsewhere(store: Store) -> None:
    content = manifest_of(b"one")
    elsewhere = Reference(Repository("zoe", "tiny"), "latest")
    for reference in (LATEST, Reference(TINY, "1b"), elsewhere):
        await store.write_manifest(tag_of(content, reference), content)
    store.forget_manifest(TINY, digest_of(content))
    assert [row.reference for row in store.models()] == [elsewhere]
    assert store.lists(TINY, digest_of(b"one")) is None
    assert await store.read_manifest(digest_of(content)) == content
    store.forget_manifest(elsewhere.repository, digest_of(content))
    assert await store.read_manifest(digest_of(content)) is None
    assert store.verify().problems == ()


async def test_a_forgotten_tag_leaves_what_another_tag_names(store: Store) -> None:
    content = manifest_of(b"one")
    other = Reference(TINY, "1b")
    for reference in (LATEST, other):
        await store.write_manifest(tag_of(content, reference), content)
    store.forget_tag(LATEST)
    assert [row.reference for row in store.models()] == [other]
    assert store.lists(TINY, digest_of(b"one")) == 3
    store.forget_tag(other)
    assert store.holdings() == []
    assert await store.read_manifest(digest_of(content)) is None
    assert store.verify().problems == ()


async def test_what_was_forgotten_stays_forgotten(root: Path) -> None:
    content = manifest_of(b"one")
    with open_store(root) as store:
        await store.write_manifest(tag_of(content, LATEST), content)
        store.forget_tag(LATEST)
    with open_store(root) as again:
        assert again.models() == []
        assert again.recovery == ()


def test_a_blob_at_rest_has_a_size_and_can_be_dropped(store: Store) -> None:
    pending = store.begin(digest_of(b"three"), 5, TINY, min_free_bytes=0)
    pending.write(0, b"th")
    store.drop_pending(digest_of(b"three"))  # Open: somebody fills it.
    pending.suspend()
    store_blob(store, b"one")
    assert store.sizes() == {digest_of(b"one"): 3, digest_of(b"three"): 2}
    store.drop_pending(digest_of(b"three"))
    assert store.sizes() == {digest_of(b"one"): 3}
    assert store.unfinished() == ()


def test_nothing_is_begun_in_what_a_disk_was_mounted_on(tmp_path: Path) -> None:
    root, aside = tmp_path / "state", tmp_path / "unmounted"
    with open_store(root) as store:
        root.rename(aside)
        root.mkdir()
        with pytest.raises(StoreUnmarkedError):
            store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
        assert list(root.iterdir()) == []
        root.rmdir()
        aside.rename(root)
