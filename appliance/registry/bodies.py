"""The body of a BlobAnswer, whichever door sends it: what comes from a file, then what does not.

Once the head is out, trouble has one expression only: the connection closes short of
Content-Length. The client sees an unexpected end, keeps what came and asks for the rest.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from appliance.cache.readers import Reader
from appliance.protocol.ranges import Span
from appliance.upstream.source import OriginUnreachableError


class Exit(Protocol):
    """How a door sends the bytes of one body. Both raise ConnectionError if the client is gone."""

    async def send_spans(
        self, file_fd: int, spans: AsyncIterator[Span], note_sent: Callable[[int], None]
    ) -> int:
        """Send spans of a file in order; return how many bytes went out.

        `note_sent` is told of them as they go, by any thread.
        """
        ...

    async def write(self, chunk: bytes) -> None:
        """Send a chunk, and wait while the client takes no more."""
        ...


async def send_body(reader: Reader, way_out: Exit) -> bool:
    """Whether the whole span went out; if not, the caller cuts the connection.

    Counts what goes out as it goes. The reader stays the caller's to close.
    """
    sent = 0
    if reader.file_fd is not None:
        sent = await _send_file(reader, reader.file_fd, way_out)
    if sent < reader.span.size_bytes and reader.is_streamable():
        sent += await _stream(reader, way_out, reader.span.start + sent)
    return sent == reader.span.size_bytes


async def _send_file(reader: Reader, file_fd: int, way_out: Exit) -> int:
    """Send what comes from a file; 0 where its bytes turned out to be wrong meanwhile."""
    loop, sending = asyncio.get_running_loop(), asyncio.timeout(None)
    try:
        async with sending:
            reader.on_spoilt(lambda: sending.reschedule(loop.time()))
            try:
                return await way_out.send_spans(file_fd, reader.spans(), reader.note_sent)
            finally:
                reader.on_spoilt(_nothing)
    except TimeoutError:
        if sending.expired():
            return 0
        raise


def _nothing() -> None: ...


async def _stream(reader: Reader, way_out: Exit, start: int) -> int:
    sent = 0
    try:
        async for chunk in reader.chunks(start):
            await way_out.write(chunk)
            sent += len(chunk)
            reader.note_sent(len(chunk))
    except OriginUnreachableError:
        return sent
    return sent
