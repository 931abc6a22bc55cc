"""A socket is taken only once all that was written before has left."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.delivery.sockets import take_socket

BEFORE = b"head" * 500_000  # More than the kernel takes at once.

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Streams, Streams]]:
    """Two ends of a connection."""
    one, other = socket.socketpair()
    ends = (
        await asyncio.open_connection(sock=one),
        await asyncio.open_connection(sock=other),
    )
    try:
        yield ends
    finally:
        for _, writer in ends:
            writer.transport.abort()
            await asyncio.sleep(0)


async def test_what_was_written_before_goes_first() -> None:
    async with connected() as ((_, writer), (reader, _)), asyncio.TaskGroup() as group:
        writer.write(BEFORE)
        coming = group.create_task(reader.readexactly(len(BEFORE) + 4))
        fd = await take_socket(writer.transport, writer.drain)
        assert os.write(fd, b"body") == 4
        os.close(fd)
        assert await coming == BEFORE + b"body"


async def test_the_socket_of_a_client_that_is_gone_is_not_taken() -> None:
    async with connected() as ((_, writer), (_, other)):
        writer.write(BEFORE)
        other.transport.abort()
        with pytest.raises(ConnectionError):
            await take_socket(writer.transport, writer.drain)
        with pytest.raises(ConnectionResetError):
            await take_socket(writer.transport, writer.drain)
    with pytest.raises(ConnectionResetError):
        await take_socket(None, writer.drain)
