"""Prefetching: wish after wish, kept over a restart, shared with clients, held up at will."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.fill import Fill
from appliance.policy.backoff import choose_mismatch_pause
from appliance.prefetching import WISHES_MAX, Prefetcher, WishesFullError
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import parse_model_name as parse
from appliance.upkeep import ModelNameError
from appliance.web.prefetches import FAILED, WAITING
from tests.fakes.registry import CHUNK_BYTES, NOON, Shop, open_shop

BLOB = b"a" * (2 * CHUNK_BYTES)
OTHER = b"b" * 100


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path / "state") as opened:
        yield opened


def make_prefetcher(shop: Shop, clock: Clock) -> Prefetcher:
    return Prefetcher(shop.cache, shop.store, "ollama-appliance", now=clock)


async def until_done(prefetcher: Prefetcher) -> None:
    async with asyncio.timeout(20):
        while prefetcher.prefetches:  # noqa: ASYNC110  # Nobody is told when a list is empty.
            await asyncio.sleep(0.01)


async def until_state(prefetcher: Prefetcher, state: str) -> None:
    async with asyncio.timeout(20):
        while prefetcher.prefetches[0].state != state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_model_that_is_wished_for_comes_whole_and_the_wish_goes(
    shop: Shop, clock: Clock
) -> None:
    shop.source.publish("tiny", BLOB, OTHER)
    async with make_prefetcher(shop, clock) as prefetcher:
        assert await prefetcher.prefetch({"model": "tiny"}) == {"model": "tiny", "wishes": 1}
        await until_done(prefetcher)
    assert shop.cache.is_held(digest_of(BLOB))
    assert shop.cache.is_held(digest_of(OTHER))
    assert [row.is_complete for row in shop.cache.books.models()] == [True]
    assert shop.store.agenda.wishes() == []


async def test_wishes_outlive_the_box_in_their_order(shop: Shop, clock: Clock) -> None:
    await shop.cache.background.pause()
    async with make_prefetcher(shop, clock) as prefetcher:
        for name in ("zebra", "ape:1b", "someone/bee"):
            clock.now += 1
            await prefetcher.prefetch({"model": name})
    async with make_prefetcher(shop, clock) as prefetcher:
        assert [each.model for each in prefetcher.prefetches] == ["zebra", "ape:1b", "someone/bee"]


async def begun_fill(shop: Shop) -> Fill:
    """The one download there is, once it has begun."""
    async with asyncio.timeout(20):
        while not shop.cache.fills:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    (fill,) = shop.cache.fills
    return fill


async def test_a_pause_holds_up_a_prefetch_and_not_for_ever(shop: Shop, clock: Clock) -> None:
    shop.source.publish("tiny", BLOB)
    shop.source.gate.clear()
    async with make_prefetcher(shop, clock) as prefetcher:
        await prefetcher.prefetch({"model": "tiny"})
        fill = await begun_fill(shop)
        assert await prefetcher.pause({}) == {"was_paused": False}
        await fill.over.wait()
        await until_state(prefetcher, WAITING)
        shop.source.gate.set()
        assert await prefetcher.resume({}) == {"resumed_blobs": 0}  # There was not a byte of it.
        await until_done(prefetcher)
    assert shop.cache.is_held(digest_of(BLOB))


async def test_what_cannot_be_had_is_tried_again_later_and_at_once_if_asked(
    shop: Shop, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with make_prefetcher(shop, clock) as prefetcher:
        await prefetcher.prefetch({"model": "tiny"})
        await until_state(prefetcher, FAILED)
        assert "file does not exist" in prefetcher.prefetches[0].trouble
        shop.source.publish("tiny", BLOB)
        wish = next(iter(prefetcher._wishes.values()))
        assert wish.due_at == NOON + choose_mismatch_pause(1)
        await prefetcher.prefetch({"model": "tiny"})
        await until_done(prefetcher)
    assert [each.levelno for each in caplog.records if each.name == "prefetch"] == [logging.WARNING]


async def test_a_wish_that_is_dropped_ends_the_download_that_was_for_it_alone(
    shop: Shop, clock: Clock
) -> None:
    shop.source.publish("tiny", BLOB)
    shop.source.gate.clear()
    async with make_prefetcher(shop, clock) as prefetcher:
        await prefetcher.prefetch({"model": "tiny"})
        fill = await begun_fill(shop)
        assert await prefetcher.unprefetch({"model": "tiny"}) == {"was_wished": True}
        assert await prefetcher.unprefetch({"model": "tiny"}) == {"was_wished": False}
        await fill.over.wait()
    assert not shop.cache.is_held(digest_of(BLOB))
    assert shop.store.agenda.wishes() == []


async def test_only_names_are_wished_for_and_not_without_end(shop: Shop, clock: Clock) -> None:
    await shop.cache.background.pause()
    async with make_prefetcher(shop, clock) as prefetcher:
        with pytest.raises(ModelNameError):
            await prefetcher.prefetch({"model": "../x"})
        for number in range(WISHES_MAX):
            prefetcher._keep(parse(f"m{number}"))
        with pytest.raises(WishesFullError):
            await prefetcher.prefetch({"model": "one-more"})
        assert (await prefetcher.prefetch({"model": "m7"}))["wishes"] == WISHES_MAX
