"""A tar archive as a list of pieces, so that any part of it can be sent without building it.

Headers are bytes; a blob is named, and its bytes come from wherever it is kept. The format is
GNU's, which GNU tar, bsdtar (macOS, Windows) and busybox read, with files of any size.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span

_FILE_MODE = 0o644  # What Ollama gives its own.


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the archive: bytes at hand, or a blob of so many bytes."""

    name: str
    content: bytes | Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes to be sent next: at hand, or a span of a blob (`size_bytes` is the whole blob's)."""

    content: bytes | Digest
    span: Span
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Archive:
    """Pieces in their order, each with where it starts."""

    pieces: tuple[tuple[int, bytes | Digest, int], ...]
    size_bytes: int

    def parts(self, span: Span) -> Iterator[Part]:
        """What makes up `span` of the archive."""
        for start, content, size_bytes in self.pieces:
            first, stop = max(span.start - start, 0), min(span.stop - start, size_bytes)
            if first < stop:
                yield Part(content, Span(first, stop), size_bytes)


def lay_out(members: Iterable[Member], modified_at: int) -> Archive:
    """The archive of these files, all modified at the same instant, in seconds since the epoch."""
    pieces: list[tuple[int, bytes | Digest, int]] = []
    position = 0

    def put(content: bytes | Digest, size_bytes: int) -> None:
        nonlocal position
        if size_bytes:
            pieces.append((position, content, size_bytes))
            position += size_bytes

    for member in members:
        header = _format_header(member, modified_at)
        put(header, len(header))
        put(member.content, member.size_bytes)
        padding = bytes(-member.size_bytes % tarfile.BLOCKSIZE)
        put(padding, len(padding))
    end = bytes(2 * tarfile.BLOCKSIZE)
    end += bytes(-(position + len(end)) % tarfile.RECORDSIZE)
    put(end, len(end))
    return Archive(tuple(pieces), position)


def _format_header(member: Member, modified_at: int) -> bytes:
    info = tarfile.TarInfo(member.name)
    info.size, info.mode, info.mtime = member.size_bytes, _FILE_MODE, modified_at
    return info.tobuf(tarfile.GNU_FORMAT)
