"""A response's body, from the transport into two buffers that are used again and again.

Theory of operation. aiohttp makes an object of every piece it reads, joins them, and copies them
out of its parser: for a blob that is more work than decrypting it. So once a head has come that
says how long its body is, the connection's transport is given another protocol, which has it
decrypt into a buffer of ours; while the caller uses one, the other fills, and where both are full
nothing is read. With the body's last byte the transport goes back to aiohttp, which is told that
the body has ended and keeps the connection for the next request. A body that is left before that
ends its connection, as always.

A body of unknown length, or one that has come already, is read through aiohttp.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager

import aiohttp
from aiohttp.client_proto import ResponseHandler

from appliance.upstream.source import Chunk

# Twice what TLS takes from a socket at once: half as many turns between the loop and the thread
# that writes. Two for each connection, 16 MiB for a fill with sixteen.
BUFFER_BYTES = 512 * 1024


class _Receiver(asyncio.BufferedProtocol):
    """What a transport fills. `left` bytes of the body are still to come."""

    def __init__(self, transport: asyncio.Transport, handler: ResponseHandler, left: int) -> None:
        size_bytes = min(BUFFER_BYTES, left)
        self._filling = memoryview(bytearray(size_bytes))
        self._other = memoryview(bytearray(size_bytes))
        self._filled_bytes = 0
        self._transport = transport
        self._handler = handler
        self._is_paused = False
        self._is_lost = False
        self._changed = asyncio.Event()
        self.left = left

    @property
    def is_done(self) -> bool:
        """Whether all has come and was taken."""
        return self.left + self._filled_bytes == 0

    def room(self, sizehint: int) -> memoryview:
        """Where the next bytes go, however many there are."""
        return self._filling[self._filled_bytes : self._filled_bytes + self.left]

    get_buffer = room  # asyncio's name for it.

    def buffer_updated(self, count: int) -> None:
        self._filled_bytes += count
        self.left -= count
        if self.left == 0 or self._filled_bytes == len(self._filling):
            self._transport.pause_reading()
            self._is_paused = True
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        self._changed.set()
        self._handler.connection_lost(error)

    async def take(self) -> memoryview:
        """All that has come, valid until the next call. Raises aiohttp.ClientPayloadError."""
        while self._filled_bytes == 0:
            if self._is_lost:
                raise aiohttp.ClientPayloadError("the connection was lost")
            self._changed.clear()
            async with asyncio.timeout(self._handler.read_timeout):
                await self._changed.wait()
        chunk = self._filling[: self._filled_bytes]
        self._filling, self._other = self._other, self._filling
        self._filled_bytes = 0
        if self._is_paused and self.left and not self._is_lost:
            self._is_paused = False
            self._transport.resume_reading()
        return chunk


async def receive_body(
    reply: aiohttp.ClientResponse,
) -> AsyncGenerator[Chunk, None]:
    """The body's chunks, each valid until the next is asked for. Raises as aiohttp does."""
    early = bytearray()
    while piece := reply.content.read_nowait():  # Having room, the parser may go on at once.
        early += piece
    with _taking_over(reply, len(early)) as receiver:
        if early:
            yield early
        while receiver is not None and not receiver.is_done:
            yield await receiver.take()
    if receiver is None:  # As they were buffered: `iter_any` would copy them all into one.
        async for chunk, _ in reply.content.iter_chunks():
            yield chunk


@contextmanager
def _taking_over(reply: aiohttp.ClientResponse, early_bytes: int) -> Iterator[_Receiver | None]:
    """Receive what of the body comes after the first `early_bytes`, where that can be done."""
    connection = reply.connection  # None once the body has come.
    transport = connection.transport if connection else None
    handler = connection.protocol if connection else None
    length = None if "Transfer-Encoding" in reply.headers else reply.content_length
    if handler is None or transport is None or transport.is_closing() or length is None:
        yield None
        return
    receiver = _Receiver(transport, handler, length - early_bytes)
    handler.pause_reading()  # Ends its timer, too.
    transport.set_protocol(receiver)
    transport.resume_reading()
    try:
        yield receiver
    finally:
        transport.set_protocol(handler)
        if receiver.left == 0:
            reply.content.feed_eof()
