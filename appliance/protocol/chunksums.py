"""Chunksums: a blob as a list of chunks, each with a digest of its own.

`GET /v2/<namespace>/<model>/chunksums/<digest>` is how one generation of Ollama learns what to
fetch of a large blob: words `sha256:<hex> <first>-<last>`, both ends included, in a body that says
in `Content-Location` where the ranges are. Any cut is good that leaves nothing out; so one chunk,
the blob itself, is always one.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import DigestInvalid
from appliance.protocol.ranges import Span

CHUNKSUMS_SIZE_BYTES_MAX = 4 * 1024 * 1024  # A terabyte in chunks of 32 MiB, with room to spare.
CHUNKSUMS_TYPE = "text/plain; charset=utf-8"

_ENDS = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


class ChunksumsMalformedError(Exception):
    """Not the chunks of a blob of that size, in order and complete."""

    hint = "the box makes chunksums of its own instead; nothing needs to be done"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of a blob's bytes, and their own digest."""

    digest: Digest
    span: Span


def parse_chunksums(content: bytes, size_bytes: int) -> tuple[Chunk, ...]:
    """The chunks of a blob of `size_bytes`. Raises ChunksumsMalformedError unless they cover it."""
    try:
        words = content.decode("ascii").split()
    except UnicodeDecodeError as error:
        raise ChunksumsMalformedError("chunksums are ASCII") from error
    if len(words) % 2:
        raise ChunksumsMalformedError("chunksums are pairs of words")
    chunks, start = [], 0
    for digest, ends in zip(words[::2], words[1::2], strict=True):
        chunk = Chunk(_parse_digest(digest), _parse_ends(ends))
        if chunk.span.start != start:
            raise ChunksumsMalformedError(f"a chunk begins at {chunk.span.start}, not at {start}")
        chunks.append(chunk)
        start = chunk.span.stop
    if start != size_bytes:
        raise ChunksumsMalformedError(f"the chunks end at {start}, the blob at {size_bytes}")
    return tuple(chunks)


def format_chunksums(chunks: Iterable[Chunk]) -> bytes:
    """A chunk a line."""
    lines = (f"{each.digest} {each.span.start}-{each.span.stop - 1}\n" for each in chunks)
    return "".join(lines).encode()


def whole(digest: Digest, size_bytes: int) -> tuple[Chunk, ...]:
    """A blob as the one chunk that it is; as none if it is empty."""
    return (Chunk(digest, Span(0, size_bytes)),) if size_bytes else ()


def _parse_digest(word: str) -> Digest:
    try:
        return parse_digest(word)
    except DigestInvalid as error:
        raise ChunksumsMalformedError("a chunk's digest is none") from error


def _parse_ends(word: str) -> Span:
    match = _ENDS.fullmatch(word)
    if match is None or int(match[2]) < int(match[1]):
        raise ChunksumsMalformedError("a chunk's range is none")
    return Span(int(match[1]), int(match[2]) + 1)
