"""Bodies past aiohttp's parser: every byte, in two buffers, and the connection is kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.upstream.receiving import BUFFER_BYTES, receive_body
from tests.appliance.cache.pulling import until

CONTENT = bytes(range(251)) * 4 * 4177  # Four MiB, no two buffers of which are alike.

type Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request's head as told, and counts the connections and what it has sent."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.port = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await self.answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(
    answer: Answer, *, read_seconds: float = 30
) -> AsyncIterator[tuple[Server, Callable[[], Awaitable[bytes]]]]:
    """A server, and what fetches a body from it."""
    site = Server(answer)
    patience = aiohttp.ClientTimeout(total=None, sock_read=read_seconds)
    async with (
        await asyncio.start_server(site.converse, "127.0.0.1", 0) as listening,
        aiohttp.ClientSession(timeout=patience) as session,
    ):
        site.port = listening.sockets[0].getsockname()[1]

        async def fetch() -> bytes:
            content = bytearray()
            async with session.get(f"http://127.0.0.1:{site.port}/") as reply:
                async for chunk in receive_body(reply):
                    content += chunk
            return bytes(content)

        yield site, fetch


def whole(content: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        writer.write(content)

    return answer


@pytest.mark.parametrize(
    "size_bytes", [0, 1, BUFFER_BYTES, BUFFER_BYTES + 1, 2 * BUFFER_BYTES, len(CONTENT)]
)
async def test_a_body_comes_whole_and_its_connection_is_kept(size_bytes: int) -> None:
    async with serving(whole(CONTENT[:size_bytes])) as (site, fetch):
        for _ in range(3):
            assert await fetch() == CONTENT[:size_bytes]
        assert site.connections == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(cuts=st.lists(st.integers(0, 600_000), max_size=6))
async def test_however_it_is_cut(cuts: list[int]) -> None:
    content, places = CONTENT[:600_000], [0, *sorted(cuts), 600_000]

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 600000\r\n\r\n")
        for start, stop in pairwise(places):
            writer.write(content[start:stop])
            await writer.drain()
            await asyncio.sleep(0)

    async with serving(answer) as (site, fetch):
        assert await fetch() == content
        assert await fetch() == content
        assert site.connections == 1


async def test_a_chunk_stays_as_it_is_until_the_next_is_asked_for() -> None:
    sent = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
        for start in range(0, len(CONTENT), 65536):
            writer.write(CONTENT[start : start + 65536])
            await writer.drain()
            sent = start

    async with serving(answer) as (site, _), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{site.port}/") as reply:
            position = 0
            async for chunk in receive_body(reply):
                ahead = min(position + 3 * BUFFER_BYTES, len(CONTENT) - 65536)
                await until(lambda ahead=ahead: sent >= ahead)  # type: ignore[misc]
                assert chunk == CONTENT[position : position + len(chunk)]
                assert len(chunk) <= max(BUFFER_BYTES, position == 0 and len(chunk))
                position += len(chunk)
        assert position == len(CONTENT)


async def test_a_connection_that_breaks_is_told_after_what_came() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + CONTENT[:500_000])
        await writer.drain()
        writer.close()

    came = bytearray()

    async def read(reply: aiohttp.ClientResponse) -> None:
        async for chunk in receive_body(reply):
            came.extend(chunk)

    async with (
        serving(answer) as (site, _),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{site.port}/") as reply,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(reply)
    assert came == CONTENT[:500_000]


async def test_a_server_that_falls_silent_is_waited_for_only_so_long() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + CONTENT[:500_000])

    async with serving(answer, read_seconds=0.05) as (_, fetch):
        with pytest.raises(TimeoutError):
            await fetch()


async def test_a_kept_connection_may_rest_longer_than_a_body_may_be_silent() -> None:
    async with serving(whole(CONTENT), read_seconds=0.5) as (site, fetch):
        assert await fetch() == CONTENT
        await asyncio.sleep(0.6)
        assert await fetch() == CONTENT
        assert site.connections == 1


async def test_a_body_that_is_left_ends_its_connection() -> None:
    async with serving(whole(CONTENT * 4)) as (site, _), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{site.port}/") as reply:
            chunks = receive_body(reply)
            assert await anext(chunks)
            await chunks.aclose()
        async with session.get(f"http://127.0.0.1:{site.port}/"):
            assert site.connections == 2


async def test_a_body_of_unknown_length_comes_by_aiohttp() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(CONTENT), 100_000):
            piece = CONTENT[start : start + 100_000]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(answer) as (site, fetch):
        assert await fetch() == CONTENT
        assert await fetch() == CONTENT
        assert site.connections == 1
