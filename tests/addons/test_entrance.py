"""Who is inside a door is counted once, hung up on beyond the bound, and gone when it closes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from addons.entrance import Attendance, counted
from appliance.policy.turnstile import Turnstile

LOOPBACK = "127.0.0.1"


@asynccontextmanager
async def serving(
    turnstile: Turnstile, seen: list[str | None], left: asyncio.Queue[str]
) -> AsyncIterator[int]:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with counted(turnstile, writer) as address:
            seen.append(address)
            if address is not None:
                writer.write(b"in")
                await reader.read()
        if address is not None:
            left.put_nowait(address)
        writer.close()

    async with await asyncio.start_server(meet, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_client_beyond_the_bound_is_hung_up_on_and_one_that_left_makes_room() -> None:
    seen: list[str | None] = []
    left = asyncio.Queue[str]()
    turnstile = Turnstile(lambda _: False, connections_max=1)
    async with serving(turnstile, seen, left) as port:
        first_in, first_out = await asyncio.open_connection(LOOPBACK, port)
        assert await first_in.read(2) == b"in"
        second_in, second_out = await asyncio.open_connection(LOOPBACK, port)
        try:
            assert await second_in.read() == b""
        except ConnectionResetError:
            """Hung up on, without a word."""
        first_out.close()
        assert await left.get() == LOOPBACK
        third_in, third_out = await asyncio.open_connection(LOOPBACK, port)
        assert await third_in.read(2) == b"in"
        for each in (second_out, third_out):
            each.close()
        assert await left.get() == LOOPBACK
    assert turnstile.connection_count == 0
    assert seen == [LOOPBACK, None, LOOPBACK]


async def test_who_is_attended_ends_with_the_door_and_who_is_not_stays() -> None:
    attendance, begun, left = Attendance(), asyncio.Event(), asyncio.Event()

    async def attended() -> None:
        with attendance.attending():
            begun.set()
            await asyncio.Event().wait()

    async def served_elsewhere() -> str:
        with attendance.attending():
            """Only settled here."""
        await left.wait()
        return "served"

    one, other = asyncio.create_task(attended()), asyncio.create_task(served_elsewhere())
    await begun.wait()
    await attendance.end()
    assert one.cancelled()
    left.set()
    assert await other == "served"
