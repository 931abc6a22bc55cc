"""A span of a blob to a socket: by a pump from its file, held or arriving.

Once the head is out, trouble has one expression only: the connection closes short of
Content-Length, with an end-of-file and not a reset, which may eat what was sent. The client sees
an unexpected end, keeps what came and asks for the rest.
"""

import os

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from appliance.cache.readers import Reader
from appliance.delivery.pump import Pumps
from appliance.registry.requests import BlobAnswer
from appliance.upstream.source import OriginUnreachableError


async def send_blob(request: web.Request, answer: BlobAnswer, pumps: Pumps) -> web.StreamResponse:
    """Send the head and the body of `answer`; closes its reader."""
    reader = answer.reader
    response = web.StreamResponse(status=answer.status, headers=dict(answer.fields))
    try:
        writer = await response.prepare(request)
        assert writer is not None, "a response is prepared once"
        if not await _send_body(request, response, writer, reader, pumps):
            request.protocol.force_close()
    except ConnectionError:  # The client hung up, as Ollama does once it has read a head.
        request.protocol.force_close()
    finally:
        reader.close()
    return response


async def _send_body(
    request: web.Request,
    response: web.StreamResponse,
    writer: AbstractStreamWriter,
    reader: Reader,
    pumps: Pumps,
) -> bool:
    """Whether the whole span went out."""
    sent = 0
    if reader.file_fd is not None:
        out_fd = await _take_socket(request, writer)
        sent = await pumps.send(out_fd, reader.file_fd, reader.spans())
        reader.note_sent(sent)
    if sent < reader.span.size_bytes and reader.is_streamable():
        sent += await _stream(response, reader, reader.span.start + sent)
    if sent < reader.span.size_bytes:
        return False
    await response.write_eof()
    return True


async def _stream(response: web.StreamResponse, reader: Reader, start: int) -> int:
    sent = 0
    try:
        async for chunk in reader.chunks(start):
            await response.write(chunk)
            sent += len(chunk)
            reader.note_sent(len(chunk))
    except OriginUnreachableError:
        return sent
    return sent


async def _take_socket(request: web.Request, writer: AbstractStreamWriter) -> int:
    """A duplicate of the client's socket, with the head out and nothing buffered behind it.

    Raises ConnectionResetError if the client is gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client is gone")
    writer.send_headers()
    transport.set_write_buffer_limits(high=0)
    try:
        await writer.drain()
    finally:
        if not transport.is_closing():  # uvloop's, once closed, takes no more orders.
            transport.set_write_buffer_limits()
    if transport.is_closing() or transport.get_write_buffer_size() > 0:
        raise ConnectionResetError("the client is gone")
    return os.dup(transport.get_extra_info("socket").fileno())
