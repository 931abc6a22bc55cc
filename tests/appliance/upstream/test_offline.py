"""Offline: every question is answered at once, with the way out."""

from collections.abc import Awaitable, Callable

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.offline import OfflineSource
from appliance.upstream.source import ManifestRequest, OriginUnreachableError, Source

REPOSITORY = Repository("library", "tiny")
REFERENCE = Reference(REPOSITORY, "latest")
REQUEST = ManifestRequest(accept="*/*", user_agent="")
DIGEST = digest_of(b"weights")


async def open_a_span(source: Source) -> None:
    async with source.open_span(REPOSITORY, DIGEST, Span(0, 7), 7):
        pass


@pytest.mark.parametrize(
    "ask",
    [
        lambda source: source.fetch_manifest(REFERENCE, REQUEST, timeout_seconds=60.0),
        lambda source: source.fetch_manifest_digest(REFERENCE, REQUEST, timeout_seconds=60.0),
        lambda source: source.fetch_blob_size(REPOSITORY, DIGEST),
        lambda source: source.fetch_chunksums(REPOSITORY, DIGEST),
        open_a_span,
    ],
)
async def test_an_offline_box_says_so(ask: Callable[[Source], Awaitable[object]]) -> None:
    with pytest.raises(OriginUnreachableError, match="offline") as caught:
        await ask(OfflineSource())
    assert caught.value.hint == "set cache.offline = false"
