"""Manifests and tags: kept byte for byte, published in the order that blobs are.

Theory of operation. A stored answer is two files: the manifest under its digest, and a tag file
that says which (reference, Accept) it answers. The tag file is the truth; the index repeats it.

    1 MANIFEST_WRITTEN   the bytes survive, and nothing names them yet
    2 TAG_WRITTEN        the tag names them, durably: this is the moment of the move
    3 MOVE_RECORDED      the ledger knows what it named before
    4 RECORDED           the index knows

Cut after 1: a manifest no tag names, swept at start. Cut after 2 or 3: the tag file and the index
disagree, and recovery follows the file and records the move (the same one twice is one).

A manifest that a tag left stays, and goes on listing its blobs, until the next start: somebody may
be in the middle of pulling it.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path

import aiofiles

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import Manifest, parse_manifest
from appliance.protocol.reference import Reference, Repository
from appliance.store.encodings import (
    encode_tag_file,
)
from appliance.store.faults import DigestMismatchError
from appliance.store.layout import tag_key
from appliance.store.ledger import Ledger
from appliance.store.premises import Premises
from appliance.store.records import ManifestRecord, TagMove, TagRecord
from appliance.store.remembered import Remembered, identify


class PublishStep(Enum):
    """What publishing has just done."""

    MANIFEST_WRITTEN = auto()
    TAG_WRITTEN = auto()
    MOVE_RECORDED = auto()
    RECORDED = auto()


def _unobserved(_: PublishStep) -> None: ...


class Manifests:
    """The files under `manifests/` and `tags/`, and their records."""

    def __init__(self, premises: Premises, ledger: Ledger) -> None:
        self._premises = premises
        self._ledger = ledger
        self._changing = threading.Lock()
        self._remembered = Remembered()

    async def read(self, digest: Digest) -> bytes | None:
        """The manifest's bytes, checked; None where they are not held, or no longer right.

        Damaged ones are removed, with all that names them.
        """
        path = self._premises.layout.manifest(digest)
        remembered = self._remembered.find(digest, path)
        if remembered is not None:
            return remembered
        try:
            async with aiofiles.open(path, "rb") as file:
                identity = identify(os.fstat(file.fileno()))
                content = await file.read()
        except OSError as error:
            _refuse_other_than_lost(error)
        else:
            if digest_of(content) == digest:
                self._remembered.keep(digest, identity, content)
                return content
        return await asyncio.to_thread(self._read_again, digest)

    async def write(
        self,
        record: TagRecord,
        content: bytes,
        on_step: Callable[[PublishStep], None] | None = None,
    ) -> None:
        """Publish `content` as the answer that `record` describes.

        Raises:
            ManifestMalformedError: it is no manifest; nothing was stored.
            DigestMismatchError: it is not the one that `record` names; nothing was stored.
            StoreFullError: the disk is full; the tag still names what it named.
        """
        await asyncio.to_thread(self._write, record, content, on_step or _unobserved)

    def _write(
        self, record: TagRecord, content: bytes, on_step: Callable[[PublishStep], None]
    ) -> None:
        manifest, actual = parse_manifest(content), digest_of(content)
        if actual != record.digest:
            raise DigestMismatchError(record.digest, actual)
        assert record.size_bytes == len(content), "a record tells the size of what it names"
        premises, layout = self._premises, self._premises.layout
        repository = record.reference.repository
        with self._changing:
            if read_if_there(layout.manifest(actual)) != content:
                premises.put_file(layout.manifest(actual), content)
            on_step(PublishStep.MANIFEST_WRITTEN)
            before = premises.catalog.find_tag(record.reference, record.accept)
            key = tag_key(record.reference, record.accept)
            premises.put_file(layout.tag(key), encode_tag_file(record))
            on_step(PublishStep.TAG_WRITTEN)
            record_move(self._ledger, before, record)
            on_step(PublishStep.MOVE_RECORDED)
            premises.catalog.publish(record, manifest_record(repository, actual, content, manifest))
            on_step(PublishStep.RECORDED)

    def forget(self, repository: Repository, digest: Digest) -> None:
        """Let go of a manifest in one repository, with the tags that name it there. Blocks.

        The records go first: what is cut short leaves files that recovery believes again.
        """
        with self._changing:
            self._forget(repository, digest)

    def forget_tag(self, reference: Reference) -> None:
        """Let go of a tag, and of its manifests where no other tag names them. Blocks."""
        layout, disk, catalog = self._premises.layout, self._premises.disk, self._premises.catalog
        with self._changing:
            tags = [each for each in catalog.tags() if each.reference == reference]
            catalog.forget_tags(tags)
            for tag in tags:
                disk.remove(layout.tag(tag_key(tag.reference, tag.accept)))
            repository = reference.repository
            named = {
                each.digest for each in catalog.tags() if each.reference.repository == repository
            }
            for digest in {tag.digest for tag in tags} - named:
                self._forget(repository, digest)

    def _forget(self, repository: Repository, digest: Digest) -> None:
        layout, disk, catalog = self._premises.layout, self._premises.disk, self._premises.catalog
        for tag in catalog.forget_manifest(digest, repository):
            disk.remove(layout.tag(tag_key(tag.reference, tag.accept)))
        if not any(each.digest == digest for each in catalog.manifests()):
            disk.remove(layout.manifest(digest))

    def _read_again(self, digest: Digest) -> bytes | None:
        """The same with publishing held off; what is wrong then is wrong, and goes."""
        layout, disk = self._premises.layout, self._premises.disk
        with self._changing:
            content = read_if_there(layout.manifest(digest))
            if content is not None and digest_of(content) == digest:
                return content
            for tag in self._premises.catalog.forget_manifest(digest):
                disk.remove(layout.tag(tag_key(tag.reference, tag.accept)))
            disk.remove(layout.manifest(digest))
            return None


def manifest_record(
    repository: Repository, digest: Digest, content: bytes, manifest: Manifest
) -> ManifestRecord:
    """What the index keeps of a manifest: each blob once, in the order of the list."""
    blobs = {each.digest: each.size_bytes for each in manifest.descriptors}
    return ManifestRecord(repository, digest, len(content), tuple(blobs.items()))


def record_move(ledger: Ledger, before: TagRecord | None, after: TagRecord) -> None:
    """Tell the ledger if a tag names another manifest than it did."""
    if before is None or before.digest == after.digest or after.reference.tag is None:
        return
    ledger.record_move(TagMove(after.reference, before.digest, after.digest, after.stored_at))


def read_if_there(path: Path) -> bytes | None:
    """A small file's content; None where the file is gone, or lies on a bad sector."""
    try:
        return path.read_bytes()
    except OSError as error:
        _refuse_other_than_lost(error)
        return None


def _refuse_other_than_lost(error: OSError) -> None:
    """Raise `error` unless it says that the bytes are gone: no file, or a bad sector under it."""
    if error.errno not in (errno.ENOENT, errno.EIO):
        raise error
