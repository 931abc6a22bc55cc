"""A blob of three checked spans, and a disk that spoils some of its bytes."""

import asyncio
import os
from collections.abc import Iterable

from appliance.cache.pulls import Cache
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.ranges import Span
from appliance.store.layout import Layout
from appliance.store.records import CHECKED_SPAN_BYTES
from appliance.store.store import Store
from tests.appliance.cache.pulling import find
from tests.appliance.store.samples import LATEST, manifest_of, store_blob
from tests.fakes.source import FakeSource

SPAN = CHECKED_SPAN_BYTES
LARGE = b"abcdefgh" * (SPAN // 8) * 2 + bytes(range(256))
DIGEST = digest_of(LARGE)
SPANS = [Span(0, SPAN), Span(SPAN, 2 * SPAN), Span(2 * SPAN, len(LARGE))]


async def hold(cache: Cache, store: Store, source: FakeSource, *contents: bytes) -> None:
    """Have a model of these blobs in the store, and at the origin."""
    source.publish(LATEST, manifest_of(*contents), *contents)
    await find(cache)
    for content in contents:
        await asyncio.to_thread(store_blob, store, content)


def flip(store: Store, digest: Digest, offsets: Iterable[int]) -> None:
    """Turn one bit of the byte at each offset."""
    with Layout(store.root).blob(digest).open("r+b") as file:
        for offset in offsets:
            (byte,) = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)


def read_whole(store: Store, digest: Digest) -> bytes:
    fd = store.open_blob(digest)
    try:
        return os.pread(fd, 2**26, 0)
    finally:
        os.close(fd)
