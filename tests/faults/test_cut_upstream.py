"""The upstream cut at any offsets: what a client has is always a slice, in the end the whole."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.cache.tally import Count
from appliance.policy import backoff
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.store import open_store
from appliance.upstream.builtin import BUILTIN
from appliance.upstream.source import OriginUnreachableError
from tests.appliance.cache.pulling import (
    CONTENT,
    DIGEST,
    TINY,
    Clock,
    counted,
    make_cache,
    read,
    settled,
)
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)
CUTS = st.lists(st.integers(0, 3000), max_size=12)
SPANS = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(
    lambda pair: Span(pair[0], min(SIZE, pair[0] + pair[1]))
)

pytestmark = pytest.mark.fault


@settings(deadline=None, max_examples=25)  # Each is a cache, from opening to closing.
@given(cuts=CUTS, spans=st.lists(SPANS, min_size=1, max_size=6), connections=st.integers(1, 4))
def test_cut_anywhere_every_client_ends_with_its_slice(
    cuts: Sequence[int], spans: Sequence[Span], connections: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as home:
        patch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)
        asyncio.run(play(Path(home), cuts, spans, connections))


async def play(home: Path, cuts: Sequence[int], spans: Sequence[Span], connections: int) -> None:
    source = FakeSource(chunk_size_bytes=700)
    source.blobs[DIGEST] = CONTENT
    source.troubles = [(after, OriginUnreachableError("cut")) for after in cuts]
    own = Uncounted(BUILTIN.repository, ())
    with open_store(home / "state") as store:
        async with make_cache(store, source, Clock(), own, connections=connections) as cache:
            got = await asyncio.gather(*(pull_part(cache, span) for span in spans))
            assert got == [CONTENT[span.start : span.stop] for span in spans]
            whole = await pull_part(cache, Span(0, SIZE))
            assert digest_of(whole) == DIGEST
            await settled(cache)
        assert counted(cache, Count.FETCHED_BYTES) == source.sent_bytes
        assert store.verify().problems == ()
        assert store.find_blob(DIGEST) is not None


async def pull_part(cache: Cache, span: Span) -> bytes:
    """As a client does: what came is a beginning of the part, and it asks for the rest."""
    position = span.start
    while position < span.stop:
        rest = Span(position, span.stop)
        came = await read(await cache.open_blob(TINY, DIGEST, SIZE, rest))
        assert came == CONTENT[rest.start : rest.start + len(came)]
        position += len(came)
    return CONTENT[span.start : position]
