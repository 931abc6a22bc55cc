"""How records are spelled on disk, each with its version.

One byte before packed numbers, a key in JSON. Decoding returns None for whatever it does not know,
a newer version included: the record then counts as absent, and recovery makes it again from the
files it was derived from.
"""

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from appliance.policy.delivery import Delivery
from appliance.policy.learning import Subject
from appliance.policy.spans import SpanSet
from appliance.protocol.clients import parse_version
from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import Verdict
from appliance.protocol.manifest import BLOB_SIZE_BYTES_MAX
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, parse_repository
from appliance.store.records import (
    CHECKED_SPAN_BYTES,
    BlobRecord,
    Checksums,
    ManifestRecord,
    PendingNote,
    Pulls,
    ScrubMark,
    TagMove,
    TagRecord,
    TokenRecord,
)

VERSION = 1

_BLOB = struct.Struct(">BQd")
_CHECKSUMS = struct.Struct(">BIQ")
_CRC32 = struct.Struct(">I")
_SIZE = struct.Struct(">BQ")
_CHECKED = struct.Struct(">Bd")
_PULLS = struct.Struct(">BdQ")
_MARK = struct.Struct(">Bdd32sQ")


def encode_blob(record: BlobRecord) -> bytes:
    """The value under the blob's digest."""
    return _BLOB.pack(VERSION, record.size_bytes, record.stored_at)


def decode_blob(digest: Digest, content: bytes) -> BlobRecord | None:
    """Read what `encode_blob` wrote; the digest was the key."""
    found = _unpack_blob(content)
    return None if found is None else BlobRecord(digest, *found)


def decode_blob_size(content: bytes) -> int:
    """The blob's size alone; 0 where `decode_blob` would return None."""
    found = _unpack_blob(content)
    return 0 if found is None else found[0]


def _unpack_blob(content: bytes) -> tuple[int, float] | None:
    if len(content) != _BLOB.size or content[0] != VERSION:
        return None
    _, size_bytes, stored_at = _BLOB.unpack(content)
    return size_bytes, stored_at


def encode_checksums(checksums: Checksums) -> bytes:
    """The file beside a blob: the spans' size, the blob's, the checksums, and one of all that."""
    head = _CHECKSUMS.pack(VERSION, CHECKED_SPAN_BYTES, checksums.size_bytes)
    content = head + b"".join(map(_CRC32.pack, checksums.crc32s))
    return content + _CRC32.pack(zlib.crc32(content))


def decode_checksums(content: bytes) -> Checksums | None:
    """Read what `encode_checksums` wrote; None also where a single bit of it has changed."""
    content, seal = content[: -_CRC32.size], content[-_CRC32.size :]
    if len(content) < _CHECKSUMS.size or seal != _CRC32.pack(zlib.crc32(content)):
        return None
    version, span_bytes, size_bytes = _CHECKSUMS.unpack_from(content)
    packed = content[_CHECKSUMS.size :]
    if (version, span_bytes) != (VERSION, CHECKED_SPAN_BYTES) or len(packed) % _CRC32.size:
        return None
    checksums = Checksums(size_bytes, tuple(crc32 for (crc32,) in _CRC32.iter_unpack(packed)))
    return checksums if checksums.is_whole() else None


def encode_size(size_bytes: int) -> bytes:
    """A count or a number of bytes."""
    return _SIZE.pack(VERSION, size_bytes)


def decode_size(content: bytes) -> int | None:
    """Read what `encode_size` wrote."""
    if len(content) != _SIZE.size or content[0] != VERSION:
        return None
    return int(_SIZE.unpack(content)[1])


def encode_pulls(pulls: Pulls) -> bytes:
    """The value under the reference."""
    return _PULLS.pack(VERSION, pulls.last_at, pulls.count)


def decode_pulls(content: bytes) -> Pulls | None:
    """Read what `encode_pulls` wrote."""
    if len(content) != _PULLS.size or content[0] != VERSION:
        return None
    return Pulls(*_PULLS.unpack(content)[1:])


def encode_mark(mark: ScrubMark) -> bytes:
    """The one value of its kind."""
    name = bytes.fromhex(mark.digest.encoded)
    return _MARK.pack(VERSION, mark.began_at, mark.checked_at, name, mark.offset)


def decode_mark(content: bytes) -> ScrubMark | None:
    """Read what `encode_mark` wrote."""
    if len(content) != _MARK.size or content[0] != VERSION:
        return None
    _, began_at, checked_at, name, offset = _MARK.unpack(content)
    return ScrubMark(began_at, checked_at, Digest(name.hex()), offset)


def encode_tag_file(record: TagRecord) -> bytes:
    """The JSON beside the manifests: all but `checked_at`, which is cheap to lose."""
    version = record.client_version_lowest
    return _format_json(
        repository=str(record.reference.repository),
        target=str(record.reference.target),
        accept=record.accept,
        digest=str(record.digest),
        size_bytes=record.size_bytes,
        content_type=record.content_type,
        client_version_lowest=None if version is None else list(version),
        stored_at=record.stored_at,
    )


def decode_tag_file(content: bytes, checked_at: float = 0.0) -> TagRecord | None:
    """Read what `encode_tag_file` wrote; `checked_at` comes from elsewhere."""

    def read(document: dict[str, Any]) -> TagRecord:
        version = document["client_version_lowest"]
        return TagRecord(
            _parse_reference(_text(document["repository"]), _text(document["target"])),
            _text(document["accept"]),
            parse_digest(_text(document["digest"])),
            _size(document["size_bytes"]),
            _text(document["content_type"]),
            None if version is None else _version(version),
            float(document["stored_at"]),
            checked_at,
        )

    return _decode_json(content, read)


def encode_tag(record: TagRecord) -> bytes:
    """The index's value: when it was checked, then what its file says."""
    return _CHECKED.pack(VERSION, record.checked_at) + encode_tag_file(record)


def decode_tag(content: bytes) -> TagRecord | None:
    """Read what `encode_tag` wrote."""
    if len(content) < _CHECKED.size or content[0] != VERSION:
        return None
    checked_at = _CHECKED.unpack_from(content)[1]
    return decode_tag_file(content[_CHECKED.size :], checked_at)


def encode_manifest(record: ManifestRecord) -> bytes:
    """The index's value for one repository's manifest."""
    return _format_json(
        repository=str(record.repository),
        digest=str(record.digest),
        size_bytes=record.size_bytes,
        blobs=[[digest.encoded, size_bytes] for digest, size_bytes in record.blobs],
    )


def decode_manifest(content: bytes) -> ManifestRecord | None:
    """Read what `encode_manifest` wrote."""

    def read(document: dict[str, Any]) -> ManifestRecord:
        return ManifestRecord(
            parse_repository(_text(document["repository"])),
            parse_digest(_text(document["digest"])),
            _size(document["size_bytes"]),
            tuple((Digest(encoded), _size(size)) for encoded, size in document["blobs"]),
        )

    return _decode_json(content, read)


def encode_pending(note: PendingNote) -> bytes:
    """The JSON beside a pending blob."""
    return _format_json(
        digest=str(note.digest),
        repository=str(note.repository),
        size_bytes=note.size_bytes,
        held=[[span.start, span.stop] for span in note.held],
    )


def decode_pending(content: bytes) -> PendingNote | None:
    """None also where a span lies beyond the blob."""

    def read(document: dict[str, Any]) -> PendingNote:
        size_bytes = _size(document["size_bytes"])
        spans = [Span(_size(start), _size(stop)) for start, stop in document["held"]]
        if any(span.stop > size_bytes for span in spans):
            raise ValueError("a span beyond the blob")
        return PendingNote(
            parse_digest(_text(document["digest"])),
            parse_repository(_text(document["repository"])),
            size_bytes,
            SpanSet(spans),
        )

    return _decode_json(content, read)


def encode_move(move: TagMove) -> bytes:
    """The ledger's value; the reference is in the key."""
    return _format_json(old=str(move.old), new=str(move.new), moved_at=move.moved_at)


def decode_move(reference: Reference, content: bytes) -> TagMove | None:
    """Read what `encode_move` wrote."""

    def read(document: dict[str, Any]) -> TagMove:
        old, new = parse_digest(_text(document["old"])), parse_digest(_text(document["new"]))
        return TagMove(reference, old, new, float(document["moved_at"]))

    return _decode_json(content, read)


def encode_lesson(subject: Subject, learnt_at: float) -> tuple[bytes, bytes]:
    """The ledger's key and value."""
    version = "" if subject.version is None else ".".join(map(str, subject.version))
    key = "\0".join((subject.client_address, version, subject.delivery.value))
    return key.encode(), _CHECKED.pack(VERSION, learnt_at)


def decode_lesson(key: bytes, content: bytes) -> tuple[Subject, float] | None:
    """Read what `encode_lesson` wrote."""
    if len(content) != _CHECKED.size or content[0] != VERSION:
        return None
    try:
        address, version, delivery = key.decode().split("\0")
        subject = Subject(address, parse_version(version) if version else None, Delivery(delivery))
    except ValueError:
        return None
    return subject, _CHECKED.unpack(content)[1]


def encode_token(record: TokenRecord) -> bytes:
    """The ledger's value; the id is the key."""
    return _format_json(
        name=record.name,
        role=record.role,
        issued_at=record.issued_at,
        expires_at=record.expires_at,
        is_revoked=record.is_revoked,
    )


def decode_token(token_id: str, content: bytes) -> TokenRecord | None:
    """Read what `encode_token` wrote."""

    def read(document: dict[str, Any]) -> TokenRecord:
        return TokenRecord(
            token_id,
            _text(document["name"]),
            _text(document["role"]),
            int(document["issued_at"]),
            int(document["expires_at"]),
            bool(document["is_revoked"]),
        )

    return _decode_json(content, read)


def _format_json(**fields: object) -> bytes:
    return json.dumps({"version": VERSION, **fields}).encode()


def _decode_json[T](content: bytes, read: Callable[[dict[str, Any]], T]) -> T | None:
    """What `read` makes of the document, or None where it is not one of ours."""
    try:
        document = json.loads(content)
        if not isinstance(document, dict) or document["version"] != VERSION:
            return None
        return read(document)
    except (Verdict, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None


def _parse_reference(repository: str, target: str) -> Reference:
    # No tag holds a colon, and every digest does.
    return Reference(
        parse_repository(repository), parse_digest(target) if ":" in target else target
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value <= BLOB_SIZE_BYTES_MAX:
        raise ValueError("not a number of bytes")
    return value


def _version(value: list[int]) -> tuple[int, int, int]:
    major, minor, patch = (_size(part) for part in value)
    return major, minor, patch
