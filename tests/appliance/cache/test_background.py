"""The pause: what nobody waits for comes to rest, what a client waits for does not, and nothing
that was fetched is fetched again."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.background import LEFT_SECONDS
from appliance.cache.fill import FillRestsError
from appliance.cache.pulls import Cache
from appliance.cache.readers import Reader
from appliance.cache.tally import Count
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import Unavailable
from appliance.protocol.ranges import Span
from appliance.protocol.reference import parse_model_name
from tests.fakes.registry import CHUNK_BYTES, Shop, open_shop

BLOB = bytes(range(256)) * (3 * CHUNK_BYTES // 256)
DIGEST = digest_of(BLOB)
REPOSITORY = parse_model_name("tiny").repository


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path / "state") as opened:
        opened.source.publish("tiny", BLOB)
        opened.source.gate.clear()
        yield opened


async def open_reader(cache: Cache, *, is_background: bool = False) -> Reader:
    return await cache.open_blob(
        REPOSITORY, DIGEST, len(BLOB), Span(0, len(BLOB)), is_background=is_background
    )


async def read_all(cache: Cache, reader: Reader) -> int:
    return sum([span.size_bytes async for span in reader.spans()])


async def test_a_download_that_no_client_waits_for_comes_to_rest(shop: Shop) -> None:
    reader = await open_reader(shop.cache, is_background=True)
    (fill,) = shop.cache.fills
    assert await shop.cache.background.pause()
    await fill.over.wait()
    assert isinstance(fill.fault, FillRestsError)
    reader.close()
    assert shop.cache.fills == ()


async def test_a_client_is_waited_on_and_then_has_ten_seconds_to_come_back(shop: Shop) -> None:
    await shop.cache.background.pause()
    reader = await open_reader(shop.cache)
    (fill,) = shop.cache.fills
    shop.cache.background.look(time.monotonic() + 1e6)
    reader.close()
    left_at = time.monotonic()
    shop.cache.background.look(left_at + LEFT_SECONDS / 2)
    again = await open_reader(shop.cache)
    shop.source.gate.set()
    assert await read_all(shop.cache, again) == len(BLOB)
    again.close()
    await fill.over.wait()
    assert fill.fault is None


async def test_a_client_that_left_for_good_leaves_nothing_running(shop: Shop) -> None:
    await shop.cache.background.pause()
    (await open_reader(shop.cache)).close()
    (fill,) = shop.cache.fills
    shop.cache.background.look(time.monotonic() + LEFT_SECONDS)
    await fill.over.wait()
    assert isinstance(fill.fault, FillRestsError)


async def test_who_comes_as_a_download_is_told_to_rest_keeps_it_going(shop: Shop) -> None:
    background = await open_reader(shop.cache, is_background=True)
    await asyncio.to_thread(shop.store.agenda.pause, is_paused=True)
    (fill,) = shop.cache.fills
    fill.rest()
    client = await open_reader(shop.cache)
    shop.source.gate.set()
    assert await read_all(shop.cache, client) == len(BLOB)
    await fill.over.wait()
    assert fill.fault is None
    client.close()
    background.close()


async def test_what_rests_goes_on_from_there_and_fetches_no_byte_twice(shop: Shop) -> None:
    shop.source.cut_at = CHUNK_BYTES
    shop.source.gate.set()
    reader = await open_reader(shop.cache, is_background=True)
    (fill,) = shop.cache.fills
    async for span in reader.spans():
        if span.stop >= CHUNK_BYTES:
            break
    await shop.cache.background.pause()
    await fill.over.wait()
    reader.close()
    shop.source.cut_at = None
    assert shop.cache.resume() == 0  # Not while it is paused.
    assert await shop.cache.background.go_on() == 1
    (fill,) = shop.cache.fills
    await fill.over.wait()
    assert shop.cache.is_held(DIGEST)
    counts = shop.cache.books.tally.since_start
    assert counts[Count.FETCHED_BYTES] == counts[Count.UNASKED_BYTES] == len(BLOB)


async def test_what_a_client_waits_for_is_not_fetched_unasked(shop: Shop) -> None:
    reader = await open_reader(shop.cache)
    shop.source.gate.set()
    assert await read_all(shop.cache, reader) == len(BLOB)
    reader.close()
    counts = shop.cache.books.tally.since_start
    assert (counts[Count.FETCHED_BYTES], counts[Count.UNASKED_BYTES]) == (len(BLOB), 0)


async def test_nothing_is_mended_while_it_is_paused(shop: Shop) -> None:
    await shop.cache.background.pause()
    with pytest.raises(Unavailable, match="paused"):
        await shop.cache._mend(REPOSITORY, DIGEST, len(BLOB))


async def test_a_pause_outlives_the_box(tmp_path: Path) -> None:
    async with open_shop(tmp_path / "state") as shop:
        assert await shop.cache.background.pause()
        assert not await shop.cache.background.pause()
    async with open_shop(tmp_path / "state") as shop:
        assert shop.cache.background.is_paused
        await shop.cache.background.go_on()
        assert await shop.cache.background.go_on() == 0
        await shop.cache.background.wait()
    async with open_shop(tmp_path / "state") as shop:
        assert not shop.cache.background.is_paused
