"""What the index says, in this room's words: blobs, tags, manifests, and who lists what.

All of it is derived from files, and can be made again from them. Tables:

    about      "version"            → the version of all records here, once it was first settled
    blobs      digest               → size, stored_at          a record: the blob is complete
    tags       tag key              → TagRecord
    manifests  repository NUL digest → ManifestRecord          by repository: A5 asks "of this one?"
    listed     repository NUL digest → the blob's size          so that the answer is one look-up

Look-ups take microseconds and may be made on the event loop. Changes block for a sync.
"""

import threading
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from appliance.protocol.digest import Digest
from appliance.protocol.reference import Reference, Repository
from appliance.store.encodings import (
    VERSION,
    decode_blob,
    decode_blob_size,
    decode_manifest,
    decode_size,
    decode_tag,
    encode_blob,
    encode_manifest,
    encode_size,
    encode_tag,
)
from appliance.store.faults import EnvironmentDamagedError
from appliance.store.index import MAP_SIZE_BYTES, Environment, Transaction
from appliance.store.layout import tag_key
from appliance.store.records import BlobRecord, ManifestRecord, TagRecord

ABOUT, BLOBS, TAGS, MANIFESTS, LISTED = TABLES = ("about", "blobs", "tags", "manifests", "listed")

TAGS_REMEMBERED = 1000  # The models that are asked for; a hit looks its tag up twice.

_VERSION = b"version"


class Catalog:
    """The index, open. One thread at a time changes it, any number read."""

    def __init__(self, path: Path, *, map_size_bytes: int = MAP_SIZE_BYTES) -> None:
        """Raises EnvironmentDamagedError: it cannot be read, or another version wrote it."""
        self._env = Environment(path, TABLES, map_size_bytes=map_size_bytes)
        self.is_new = self._is_unsettled()
        self._sums = threading.Lock()
        with self._env.reading() as now:
            sizes = [decode_blob_size(content) for _, content in now.items(BLOBS)]
        self._blob_size_bytes = sum(sizes)

    def close(self) -> None:
        self._env.close()

    def _is_unsettled(self) -> bool:
        with self._env.reading() as now:
            found = now.find(ABOUT, _VERSION)
        if found not in (None, str(VERSION).encode()):
            self._env.close()
            raise EnvironmentDamagedError(self._env.path, "another version of the box wrote it")
        return found is None

    def mark_settled(self) -> None:
        """Say that the index now repeats all that the files say: it is new no longer."""
        if self.is_new:
            self._env.write(lambda now: now.put(ABOUT, _VERSION, str(VERSION).encode()))
            self.is_new = False

    @property
    def blob_count(self) -> int:
        with self._env.reading() as now:
            return now.count(BLOBS)

    @property
    def blob_size_bytes(self) -> int:
        with self._sums:
            return self._blob_size_bytes

    @property
    def tag_count(self) -> int:
        with self._env.reading() as now:
            return now.count(TAGS)

    @property
    def manifest_count(self) -> int:
        with self._env.reading() as now:
            return now.count(MANIFESTS)

    # Blobs.

    def find_blob(self, digest: Digest) -> BlobRecord | None:
        with self._env.reading() as now:
            return _find_blob(now, digest)

    def blobs(self) -> list[BlobRecord]:
        with self._env.reading() as now:
            found = (decode_blob(Digest(key.hex()), each) for key, each in now.items(BLOBS))
            return [record for record in found if record is not None]

    def record_blobs(self, records: Iterable[BlobRecord]) -> None:
        wanted = tuple(records)

        def work(now: Transaction) -> int:
            grown = 0
            for record in wanted:
                before = _find_blob(now, record.digest)
                grown += record.size_bytes - (before.size_bytes if before else 0)
                now.put(BLOBS, _key(record.digest), encode_blob(record))
            return grown

        self._resize(self._env.write(work))

    def forget_blobs(self, digests: Iterable[Digest]) -> None:
        wanted = tuple(digests)

        def work(now: Transaction) -> int:
            shrunk = 0
            for digest in wanted:
                before = _find_blob(now, digest)
                shrunk += before.size_bytes if before else 0
                now.remove(BLOBS, _key(digest))
            return shrunk

        self._resize(-self._env.write(work))

    def _resize(self, by_bytes: int) -> None:
        with self._sums:
            self._blob_size_bytes += by_bytes

    # Tags and manifests.

    def find_tag(self, reference: Reference, accept: str) -> TagRecord | None:
        with self._env.reading() as now:
            content = now.find(TAGS, _key(tag_key(reference, accept)))
        return None if content is None else _read_tag(content)

    def tags(self) -> list[TagRecord]:
        with self._env.reading() as now:
            found = [decode_tag(content) for _, content in now.items(TAGS)]
        return [record for record in found if record is not None]

    def keyed_tags(self) -> dict[Digest, TagRecord | None]:
        """All tags by their keys; None for those whose records cannot be decoded."""
        with self._env.reading() as now:
            return {Digest(key.hex()): decode_tag(content) for key, content in now.items(TAGS)}

    def manifests(self) -> list[ManifestRecord]:
        with self._env.reading() as now:
            found = [decode_manifest(content) for _, content in now.items(MANIFESTS)]
        return [record for record in found if record is not None]

    def find_manifest(self, repository: Repository, digest: Digest) -> ManifestRecord | None:
        """The record of a manifest that is stored under `repository`."""
        with self._env.reading() as now:
            content = now.find(MANIFESTS, _owned(repository, digest))
        return None if content is None else decode_manifest(content)

    def lists(self, repository: Repository, digest: Digest) -> int | None:
        """The size that a stored manifest of `repository` gives the blob; None if none lists it."""
        with self._env.reading() as now:
            content = now.find(LISTED, _owned(repository, digest))
        return None if content is None else decode_size(content)

    def publish(self, record: TagRecord, manifest: ManifestRecord) -> None:
        """Remember a tag and the manifest it names, at once."""

        def work(now: Transaction) -> None:
            _put_tag(now, record)
            _put_manifest(now, manifest)

        self._env.write(work)

    def note_checked(self, record: TagRecord, checked_at: float) -> None:
        """Remember when the origin last confirmed `record`; nothing if the tag moved meanwhile."""

        def work(now: Transaction) -> None:
            content = now.find(TAGS, _key(tag_key(record.reference, record.accept)))
            held = None if content is None else decode_tag(content)
            if held is not None and held.digest == record.digest:
                _put_tag(now, replace(held, checked_at=checked_at))

        self._env.write(work)

    def settle(self, tags: Iterable[TagRecord], manifests: Iterable[ManifestRecord]) -> None:
        """Remember these tags and manifests, and no others."""
        tags, manifests = tuple(tags), tuple(manifests)

        def work(now: Transaction) -> None:
            for table in (TAGS, MANIFESTS, LISTED):
                for key, _ in tuple(now.items(table)):
                    now.remove(table, key)
            for tag in tags:
                _put_tag(now, tag)
            for manifest in manifests:
                _put_manifest(now, manifest)

        self._env.write(work)

    def forget_tags(self, tags: Iterable[TagRecord]) -> None:
        wanted = tuple(tags)

        def work(now: Transaction) -> None:
            for tag in wanted:
                now.remove(TAGS, _key(tag_key(tag.reference, tag.accept)))

        self._env.write(work)

    def forget_manifest(
        self, digest: Digest, repository: Repository | None = None
    ) -> list[TagRecord]:
        """Forget the manifest and the tags that name it; return those.

        In `repository` only, or, where that is None, in every one.
        """
        wanted = {each.repository for each in self.manifests() if each.digest == digest}
        repositories = wanted if repository is None else wanted & {repository}
        tags = [
            record
            for record in self.tags()
            if record.digest == digest and repository in (None, record.reference.repository)
        ]

        def work(now: Transaction) -> None:
            for tag in tags:
                now.remove(TAGS, _key(tag_key(tag.reference, tag.accept)))
            for repository in repositories:
                now.remove(MANIFESTS, _owned(repository, digest))
                _relist(now, repository)

        self._env.write(work)
        return tags


# By its content, so that what is remembered is what is recorded.
_read_tag = lru_cache(TAGS_REMEMBERED)(decode_tag)


def _key(digest: Digest) -> bytes:
    return bytes.fromhex(digest.encoded)


def _owned(repository: Repository, digest: Digest) -> bytes:
    return f"{repository}\0".encode() + _key(digest)


def _find_blob(now: Transaction, digest: Digest) -> BlobRecord | None:
    content = now.find(BLOBS, _key(digest))
    return None if content is None else decode_blob(digest, content)


def _put_tag(now: Transaction, record: TagRecord) -> None:
    now.put(TAGS, _key(tag_key(record.reference, record.accept)), encode_tag(record))


def _put_manifest(now: Transaction, record: ManifestRecord) -> None:
    now.put(MANIFESTS, _owned(record.repository, record.digest), encode_manifest(record))
    for digest, size_bytes in record.blobs:
        now.put(LISTED, _owned(record.repository, digest), encode_size(size_bytes))


def _relist(now: Transaction, repository: Repository) -> None:
    """List again what the repository's remaining manifests list."""
    prefix = f"{repository}\0".encode()
    for key, _ in tuple(now.items(LISTED, prefix)):
        now.remove(LISTED, key)
    for _, content in tuple(now.items(MANIFESTS, prefix)):
        remaining = decode_manifest(content)
        if remaining is not None:
            _put_manifest(now, remaining)
