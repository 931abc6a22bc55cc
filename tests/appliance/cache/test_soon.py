"""A call that is asked for often is made once, and again when it is asked for again."""

import asyncio

from appliance.cache.soon import Soon


async def test_it_is_made_once_and_not_at_once() -> None:
    made: asyncio.Queue[None] = asyncio.Queue()
    soon = Soon(lambda: made.put_nowait(None))
    soon.ask(0)
    soon.ask(0)
    assert made.empty()
    await made.get()
    await asyncio.sleep(0)
    assert made.empty()


async def test_it_is_made_again_when_it_is_asked_for_again() -> None:
    made: asyncio.Queue[None] = asyncio.Queue()
    soon = Soon(lambda: made.put_nowait(None))
    for _ in range(2):
        soon.ask(0)
        await made.get()


async def test_a_cancelled_one_is_not_made_and_may_be_asked_for_again() -> None:
    made: asyncio.Queue[str] = asyncio.Queue()
    soon = Soon(lambda: made.put_nowait("made"))
    soon.cancel()
    soon.ask(0)
    soon.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert made.empty()
    soon.ask(0)
    assert await made.get() == "made"
