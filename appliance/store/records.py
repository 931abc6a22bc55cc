"""What the store remembers: the values that the index, the ledger and the notes are made of.

How each is spelled on disk is in encodings.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository


@dataclass(frozen=True, slots=True)
class BlobRecord:
    """A complete blob. `stored_at` is the instant of its commit."""

    digest: Digest
    size_bytes: int
    stored_at: float


CHECKED_SPAN_BYTES = 16 * 1024 * 1024  # What is fetched again for one wrong bit; 256 bytes a GiB.


def split_spans(size_bytes: int) -> Iterator[Span]:
    """A blob's bytes, CHECKED_SPAN_BYTES at a time; the last span may be shorter."""
    for start in range(0, size_bytes, CHECKED_SPAN_BYTES):
        yield Span(start, min(start + CHECKED_SPAN_BYTES, size_bytes))


@dataclass(frozen=True, slots=True)
class Checksums:
    """The crc32 of every CHECKED_SPAN_BYTES of a blob; the last span may be shorter."""

    size_bytes: int
    crc32s: tuple[int, ...]

    def spans(self) -> Iterator[tuple[Span, int]]:
        """Each span, ascending, with its crc32."""
        return zip(split_spans(self.size_bytes), self.crc32s, strict=True)

    def is_whole(self) -> bool:
        """Whether there is one for each span of so many bytes."""
        return -(-self.size_bytes // CHECKED_SPAN_BYTES) == len(self.crc32s)


@dataclass(frozen=True, slots=True)
class TagRecord:
    """Which manifest was answered to (reference, accept), and to whom it may be answered again.

    `client_version_lowest` is the lowest client version that is known to be given this answer; None
    is unknown, and must be revalidated. `checked_at` is when the origin last said so, 0 for never.
    """

    reference: Reference
    accept: str
    digest: Digest
    size_bytes: int
    content_type: str
    client_version_lowest: tuple[int, int, int] | None
    stored_at: float
    checked_at: float


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """What a stored manifest of `repository` lists: each blob once."""

    repository: Repository
    digest: Digest
    size_bytes: int
    blobs: tuple[tuple[Digest, int], ...]

    @property
    def total_size_bytes(self) -> int:
        return sum(size_bytes for _, size_bytes in self.blobs)


@dataclass(frozen=True, slots=True)
class PendingNote:
    """What is surely on disk of a blob that still arrives, and for which repository it does."""

    digest: Digest
    repository: Repository
    size_bytes: int
    held: SpanSet


@dataclass(frozen=True, slots=True)
class ScrubMark:
    """How far the reading again of everything has come, in the order of digests.

    Of the blob `digest`, and no other, `offset` bytes were found right; the last at `checked_at`.
    """

    began_at: float
    checked_at: float
    digest: Digest
    offset: int


@dataclass(frozen=True, slots=True)
class TagMove:
    """At `moved_at` the origin gave `reference` another manifest."""

    reference: Reference
    old: Digest
    new: Digest
    moved_at: float


@dataclass(frozen=True, slots=True)
class Pulls:
    """How often a reference was pulled, and when last."""

    last_at: float
    count: int


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that was given out, without the token. Instants in seconds since the epoch."""

    token_id: str
    name: str
    role: str
    issued_at: int
    expires_at: int
    is_revoked: bool = False
