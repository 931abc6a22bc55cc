"""Which 16 MiB of a damaged blob are damaged, where its sha256 only says that something is.

Theory of operation. While a blob is hashed, the crc32 of each 16 MiB of it is taken from the same
chunks. Once its sha256 was found right they are written to a file of their own, before the blob
itself gets its name. They are not in the index, because the index may be deleted and is then made
again from the files: checksums made again from bytes that have rotted meanwhile would call them
sound. So they are computed from no bytes but those that have just been found to be the digest's.
What was written for a digest is thus true of it for ever, whenever and by whomever it was; a file
of checksums without a blob is merely swept.

A blob of one such span has none: there its sha256 says as much. A blob that an earlier version of
the box committed has none either, until it is hashed again by recovery. Then the whole of it counts
as one span.
"""

import os
from collections.abc import Iterator

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.store.encodings import decode_checksums, encode_checksums
from appliance.store.hashing import PrefixHash
from appliance.store.layout import Layout
from appliance.store.manifests import read_if_there
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, Checksums


def write_checksums(premises: Premises, digest: Digest, checksums: Checksums) -> None:
    """Keep the checksums of bytes whose sha256 is `digest`, durably. Raises StoreFullError."""
    if len(checksums.crc32s) > 1:
        premises.put_file(premises.layout.checksums(digest), encode_checksums(checksums))


def read_checksums(layout: Layout, record: BlobRecord) -> Checksums | None:
    """The checksums of a blob; None where there are none, or they are damaged themselves."""
    content = read_if_there(layout.checksums(record.digest))
    checksums = None if content is None else decode_checksums(content)
    return checksums if checksums and checksums.size_bytes == record.size_bytes else None


def check_spans(layout: Layout, record: BlobRecord, fd: int) -> Iterator[tuple[Span, bool]]:
    """Read the blob behind `fd` span by span; tell of each whether its bytes are the right ones.

    A span that cannot be read is not right. An empty blob has no spans.
    """
    checksums = read_checksums(layout, record)
    if checksums is not None:
        for span, crc32 in checksums.spans():
            yield span, _hash_span(fd, span).checksums().crc32s == (crc32,)
    elif record.size_bytes:
        span = Span(0, record.size_bytes)
        yield span, _hash_span(fd, span).digest() == record.digest


def find_bad_spans(layout: Layout, record: BlobRecord) -> list[Span]:
    """The spans of a blob's file that are not right. Blocks for as long as reading takes."""
    fd = os.open(layout.blob(record.digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return [span for span, is_right in check_spans(layout, record, fd) if not is_right]
    finally:
        os.close(fd)


def _hash_span(fd: int, span: Span) -> PrefixHash:
    """The hash of the span, or of what of it could be read."""
    hashed = PrefixHash(start=span.start)
    try:
        hashed.catch_up(fd, span.stop)
    except OSError:  # A bad sector is damage of just the kind that is looked for.
        return PrefixHash()
    return hashed
