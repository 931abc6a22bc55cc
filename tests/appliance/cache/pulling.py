"""What clients of the cache do: ask, read what arrives, and wait for what must come."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from appliance.cache.accounts import Uncounted
from appliance.cache.manifests import FoundManifest
from appliance.cache.pulls import Cache
from appliance.cache.readers import Reader
from appliance.cache.tally import Count
from appliance.policy.eviction import Budget
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.store import Store
from appliance.upstream.source import ManifestRequest, Refusal, Source

TINY = Repository("library", "tiny")
LATEST = Reference(TINY, "latest")
OLLAMA = "ollama/0.31.1 (amd64 linux) Go/go1.25"
CONTENT = bytes(range(256)) * 40
DIGEST = digest_of(CONTENT)


@dataclass
class Clock:
    """The time of day, moved by hand."""

    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def make_cache(
    store: Store,
    source: Source,
    clock: Clock,
    uncounted: Uncounted,
    *,
    min_free_bytes: int = 0,
    max_size_bytes: int = 2**60,
    connections: int = 1,
) -> Cache:
    """A cache of `store` that fetches everything from `source`."""
    return Cache(
        store,
        lambda _: source,
        now=clock,
        fresh_seconds=60,
        budget=lambda: Budget(min_free_bytes, max_size_bytes),
        uncounted=uncounted,
        connections=connections,
    )


def asking(user_agent: str = OLLAMA, accept: str = MANIFEST_TYPE) -> ManifestRequest:
    return ManifestRequest(accept, user_agent)


async def find(
    cache: Cache, request: ManifestRequest | None = None, reference: Reference = LATEST
) -> FoundManifest:
    """Open a manifest that must be there."""
    found = await cache.open_manifest(reference, request or asking())
    assert isinstance(found, FoundManifest)
    return found


async def refused(
    cache: Cache, request: ManifestRequest | None = None, reference: Reference = LATEST
) -> Refusal:
    """Open a manifest that the origin refuses."""
    found = await cache.open_manifest(reference, request or asking())
    assert isinstance(found, Refusal)
    return found


async def open_whole(cache: Cache, digest: Digest = DIGEST, size: int = len(CONTENT)) -> Reader:
    return await cache.open_blob(TINY, digest, size, Span(0, size))


async def read(reader: Reader) -> bytes:
    """Read a span as a pump would and then, where that is allowed, past the store; close it."""
    try:
        content = b""
        if reader.file_fd is not None:
            async for span in reader.spans():
                content += os.pread(reader.file_fd, span.size_bytes, span.start)
        if len(content) < reader.span.size_bytes and reader.is_streamable():
            async for chunk in reader.chunks(reader.span.start + len(content)):
                content += chunk
        return content
    finally:
        reader.close()


async def pull(cache: Cache, digest: Digest = DIGEST, size: int = len(CONTENT)) -> bytes:
    """Pull a blob whole, and wait until its fill is over."""
    content = await read(await open_whole(cache, digest, size))
    await settled(cache)
    return content


async def settled(cache: Cache) -> None:
    """Wait until no fill runs."""
    await until(lambda: not cache.fills)


async def until(claim: Callable[[], bool]) -> None:
    """Let the loop turn until `claim` holds."""
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110  # What is waited for tells nobody.
            await asyncio.sleep(0)


def counted(cache: Cache, count: Count) -> int:
    return cache.books.tally.since_start[count]
