"""Index against disk against digest: everything that is wrong, in sentences.

Reads every byte the store holds, changes nothing, and needs no store to be idle: what is committed
or let go meanwhile looks wrong to who reads the index first and the files after. So what looks
wrong is looked at once more, and only what still is is told. Mending needs the origin, so it is not
done here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import ManifestMalformedError, parse_manifest
from appliance.protocol.reference import Repository
from appliance.store.checksums import find_bad_spans, read_checksums
from appliance.store.encodings import (
    decode_pending,
    decode_tag_file,
)
from appliance.store.hashing import hash_file
from appliance.store.layout import Layout, tag_key
from appliance.store.listing import list_files, read_name
from appliance.store.manifests import manifest_record, read_if_there
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, PendingNote, TagRecord


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`problems` is empty where all is well."""

    problems: tuple[str, ...]
    blob_count: int
    read_size_bytes: int


def verify(
    premises: Premises, note_read: Callable[[int], None] = lambda size_bytes: None
) -> VerifyReport:
    """Check everything there is. Blocks while all is read: once, or twice where it looks wrong."""
    report = _look(premises, note_read)
    if not report.problems:
        return report
    lasting = frozenset(_look(premises, note_read).problems)
    return replace(report, problems=tuple(each for each in report.problems if each in lasting))


def _look(premises: Premises, note_read: Callable[[int], None]) -> VerifyReport:
    layout, catalog = premises.layout, premises.catalog
    records = catalog.blobs()
    problems = (
        *_verify_blobs(layout, records, note_read),
        *_verify_tags(premises),
        *_verify_manifests(premises),
        *_verify_pending(layout),
    )
    read_size_bytes = sum(record.size_bytes for record in records)
    return VerifyReport(problems, len(records), read_size_bytes)


def _verify_blobs(
    layout: Layout, records: list[BlobRecord], note_read: Callable[[int], None]
) -> Iterator[str]:
    unmet = {record.digest: record for record in records}
    for path, digest in list_files(layout.blobs):
        record = unmet.pop(digest, None) if digest else None
        if digest is None:
            yield f"{_name(layout, path)} is no blob's name."
        elif record is None:
            yield f"The blob {digest} has no record."
        else:
            yield from _verify_blob(layout, path, record, note_read)
    recorded = {record.digest for record in records}
    for path, digest in list_files(layout.all_checksums):
        if digest not in recorded:
            yield f"{_name(layout, path)} is no blob's checksums."
    for digest in unmet:
        yield f"The blob {digest} is recorded and its file is gone."


def _verify_blob(
    layout: Layout, path: Path, record: BlobRecord, note_read: Callable[[int], None]
) -> Iterator[str]:
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:  # Let go of since it was listed.
        yield f"The blob {record.digest} is recorded and its file is gone."
        return
    if size_bytes != record.size_bytes:
        yield f"The blob {record.digest} has {size_bytes} of {record.size_bytes} bytes."
        return
    try:
        hashed = hash_file(path, note_read)
    except OSError as error:
        where = _locate(layout, record)
        yield f"The blob {record.digest} cannot be read: {error.strerror}{where}."
        return
    if hashed.digest() != record.digest:
        where = _locate(layout, record)
        yield f"The blob {record.digest} holds the bytes of {hashed.digest()}{where}."
        return
    is_kept = layout.checksums(record.digest).exists()
    if is_kept and read_checksums(layout, record) != hashed.checksums():
        yield f"The checksums of {record.digest} are wrong, and its bytes are right."


def _locate(layout: Layout, record: BlobRecord) -> str:
    """Which bytes of a damaged blob are the wrong ones, as far as its checksums tell."""
    if read_checksums(layout, record) is None:
        return ""
    bad = find_bad_spans(layout, record)
    named = ", ".join(f"{span.start}-{span.stop - 1}" for span in bad)
    return f"; wrong are the bytes {named}" if named else "; its checksums do not tell where"


def _verify_tags(premises: Premises) -> Iterator[str]:
    layout, unmet = premises.layout, {_key(tag): tag for tag in premises.catalog.tags()}
    for path, named in list_files(layout.tags, ".json"):
        content = read_if_there(path)
        tag = None if content is None else decode_tag_file(content)
        if tag is None or _key(tag) != named:
            yield f"{_name(layout, path)} is no tag's file."
            continue
        record = unmet.pop(_key(tag), None)
        if record is None:
            yield f"The tag {tag.reference} has no record."
        elif (record.digest, record.stored_at) != (tag.digest, tag.stored_at):
            yield f"The tag {tag.reference} is recorded as {record.digest}, and is {tag.digest}."
    for tag in unmet.values():
        yield f"The tag {tag.reference} is recorded and its file is gone."


def _verify_manifests(premises: Premises) -> Iterator[str]:
    layout, catalog = premises.layout, premises.catalog
    known = {(each.repository, each.digest): each for each in catalog.manifests()}
    digests = {digest for _, digest in known}
    for path, digest in list_files(layout.manifests):
        if digest not in digests:
            yield f"{_name(layout, path)} is no recorded manifest."
    for tag in catalog.tags():
        if (tag.reference.repository, tag.digest) not in known:
            yield f"The tag {tag.reference} names {tag.digest}, which has no record."
    for (repository, digest), record in known.items():
        content = read_if_there(layout.manifest(digest))
        if content is None:
            yield f"The manifest {digest} is recorded and its file is gone."
        elif digest_of(content) != digest:
            yield f"The manifest {digest} holds the bytes of {digest_of(content)}."
        else:
            yield from _verify_listing(premises, repository, digest, content)
            if len(content) != record.size_bytes:
                yield f"The manifest {digest} is recorded with {record.size_bytes} bytes."


def _verify_listing(
    premises: Premises, repository: Repository, digest: Digest, content: bytes
) -> Iterator[str]:
    try:
        manifest = parse_manifest(content)
    except ManifestMalformedError as error:
        yield f"The manifest {digest} is none: {error}."
        return
    for blob, _ in manifest_record(repository, digest, content, manifest).blobs:
        if premises.catalog.lists(repository, blob) is None:
            yield f"{repository} does not list {blob}, and its manifest {digest} does."


def _verify_pending(layout: Layout) -> Iterator[str]:
    for path in layout.pending.glob("*.json"):
        content, digest = read_if_there(path), read_name(path.stem)
        note = None if content is None else decode_pending(content)
        if digest is None or note is None or note.digest != digest:
            yield f"{_name(layout, path)} is no pending blob's note."
        else:
            yield from _verify_pending_bytes(layout.pending_bytes(digest), note)


def _verify_pending_bytes(path: Path, note: PendingNote) -> Iterator[str]:
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        yield f"The bytes of the pending {note.digest} are gone."
        return
    if size_bytes != note.size_bytes:
        yield f"The pending {note.digest} is not of the size its note gives."


def _key(tag: TagRecord) -> Digest:
    return tag_key(tag.reference, tag.accept)


def _name(layout: Layout, path: Path) -> str:
    return str(path.relative_to(layout.root))
