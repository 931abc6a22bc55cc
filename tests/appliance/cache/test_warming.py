"""Blobs made whole with nobody behind them, on a real store."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.warming import WarmingError, warm_blob
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.reference import Repository
from tests.fakes.registry import CHUNK_BYTES, Shop, open_shop

BLOB = bytes(range(256)) * (CHUNK_BYTES // 256) * 3
TINY = Repository("library", "tiny")


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path / "state") as opened:
        opened.source.publish("tiny", BLOB)
        yield opened


async def warm(shop: Shop, digest: Digest, size_bytes: int) -> list[int]:
    return [held async for held in warm_blob(shop.cache, TINY, digest, size_bytes)]


async def test_a_blob_becomes_whole_and_its_progress_only_grows(shop: Shop) -> None:
    steps = await warm(shop, digest_of(BLOB), len(BLOB))
    assert shop.cache.is_held(digest_of(BLOB))
    assert steps == sorted(steps)
    assert steps[-1] == len(BLOB)


async def test_what_is_held_is_asked_of_nobody(shop: Shop) -> None:
    shop.keep("tiny", BLOB)
    shop.source.is_away = True
    assert await warm(shop, digest_of(BLOB), len(BLOB)) == [len(BLOB)]


async def test_an_empty_blob_needs_no_bytes(shop: Shop) -> None:
    assert await warm(shop, digest_of(b""), 0) == [0]


async def test_a_full_disk_is_told(shop: Shop) -> None:
    shop.min_free_bytes[0] = 2**62
    with pytest.raises(WarmingError, match="no room"):
        await warm(shop, digest_of(BLOB), len(BLOB))


async def test_wrong_bytes_are_told(shop: Shop) -> None:
    shop.source.blobs[digest_of(BLOB)] = bytes(len(BLOB))
    with pytest.raises(WarmingError, match="is not kept"):
        await warm(shop, digest_of(BLOB), len(BLOB))
    with pytest.raises(WarmingError, match="a moment ago"):
        await warm(shop, digest_of(BLOB), len(BLOB))


async def test_the_download_goes_on_when_whoever_asked_leaves(shop: Shop) -> None:
    shop.source.gate.clear()
    steps = warm_blob(shop.cache, TINY, digest_of(BLOB), len(BLOB))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):  # Cancelled at the first wait, which is for bytes.
            await anext(steps)
    fill = shop.cache.find_fill(digest_of(BLOB))
    assert fill is not None
    shop.source.gate.set()
    await fill.over.wait()
    assert shop.cache.is_held(digest_of(BLOB))
