"""Which 16 MiB of a damaged blob are damaged, where its sha256 only says that something is.

Theory of operation. While a blob is hashed, the crc32 of each 16 MiB of it is taken from the same
chunks. Once its sha256 was found right they are written to a file of their own, before the blob
itself gets its name. They are not in the index, because the index may be deleted and is then made
again from the files: checksums made again from bytes that have rotted meanwhile would call them
sound. So they are computed from no bytes but those that have just been found to be the digest's.
What was written for a digest is thus true of it for ever, whenever and by whomever it was; a file
of checksums without a blob is merely swept.

A blob of one such span has none: there its sha256 says as much. A blob that an earlier version of
the box committed has none either, until it is hashed again, by recovery or here. Till then the
whole of it counts as one span.
"""

import os
from collections.abc import Callable, Iterator

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.store.encodings import decode_checksums, encode_checksums
from appliance.store.hashing import PrefixHash
from appliance.store.layout import Layout
from appliance.store.manifests import read_if_there
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, Checksums, split_spans


def write_checksums(premises: Premises, digest: Digest, checksums: Checksums) -> None:
    """Keep the checksums of bytes whose sha256 is `digest`, durably. Raises StoreFullError."""
    if len(checksums.crc32s) > 1:
        premises.put_file(premises.layout.checksums(digest), encode_checksums(checksums))


def read_checksums(layout: Layout, record: BlobRecord) -> Checksums | None:
    """The checksums of a blob; None where there are none, or they are damaged themselves."""
    content = read_if_there(layout.checksums(record.digest))
    checksums = None if content is None else decode_checksums(content)
    return checksums if checksums and checksums.size_bytes == record.size_bytes else None


def _ignore(_: Checksums) -> None: ...


def check_spans(
    layout: Layout,
    record: BlobRecord,
    fd: int,
    start: int = 0,
    *,
    prove: Callable[[Checksums], None] = _ignore,
) -> Iterator[tuple[Span, bool | None]]:
    """Read the blob behind `fd` from `start` on, span by span: are its bytes the right ones?

    None says that only its last span will tell: without checksums the whole is read, whatever
    `start` is, and the verdict that comes last is one on `Span(0, size)`. A span that cannot be
    read is not right. An empty blob has no spans. `prove` gets the checksums that a blob lacked,
    once its bytes were found right.
    """
    checksums = read_checksums(layout, record)
    if checksums is not None:
        for span, crc32 in checksums.spans():
            if span.start >= start:
                yield span, _hash_span(fd, span).checksums().crc32s == (crc32,)
    elif record.size_bytes:
        yield from _check_whole(record, fd, prove)


def _check_whole(
    record: BlobRecord, fd: int, prove: Callable[[Checksums], None]
) -> Iterator[tuple[Span, bool | None]]:
    """Read in steps, so that whoever asks may pause between them."""
    hashed = PrefixHash()
    for span in split_spans(record.size_bytes):
        if not _follow(hashed, fd, span):
            break
        if span.stop < record.size_bytes:
            yield span, None
    is_right = hashed.digest() == record.digest
    if is_right:
        prove(hashed.checksums())
    yield Span(0, record.size_bytes), is_right


def find_bad_spans(layout: Layout, record: BlobRecord) -> list[Span]:
    """The spans of a blob's file that are not right. Blocks for as long as reading takes."""
    fd = os.open(layout.blob(record.digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        checked = check_spans(layout, record, fd)
        return [span for span, is_right in checked if is_right is False]
    finally:
        os.close(fd)


def _hash_span(fd: int, span: Span) -> PrefixHash:
    """The hash of the span, or of nothing where some of it cannot be read."""
    hashed = PrefixHash(start=span.start)
    return hashed if _follow(hashed, fd, span) else PrefixHash()


def _follow(hashed: PrefixHash, fd: int, span: Span) -> bool:
    """Hash on to the end of `span`, from the disk itself; False where that cannot be read.

    What memory still has of it says nothing about the disk, so it is dropped before; and after,
    because nobody asked for these bytes.
    """
    try:
        os.posix_fadvise(fd, span.start, span.size_bytes, os.POSIX_FADV_DONTNEED)
        hashed.catch_up(fd, span.stop)
        os.posix_fadvise(fd, span.start, span.size_bytes, os.POSIX_FADV_DONTNEED)
    except OSError:  # A bad sector is damage of just the kind that is looked for.
        return False
    return hashed.position == span.stop
