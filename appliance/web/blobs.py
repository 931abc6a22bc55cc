"""A span of a blob to a socket in the clear.

A body cut short ends with an end-of-file and not a reset, which may eat what was sent.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from appliance.delivery.pump import Pumps
from appliance.delivery.sockets import take_socket
from appliance.protocol.ranges import Span
from appliance.registry.bodies import send_body
from appliance.registry.requests import BlobAnswer


async def send_blob(request: web.Request, answer: BlobAnswer, pumps: Pumps) -> web.StreamResponse:
    """Send the head and the body of `answer`; closes its reader."""
    response = web.StreamResponse(status=answer.status, headers=dict(answer.fields))
    try:
        writer = await response.prepare(request)
        assert writer is not None, "a response is prepared once"
        if await send_body(answer.reader, ClearExit(request, response, writer, pumps)):
            await response.write_eof()
        else:
            request.protocol.force_close()
    except ConnectionError:  # The client hung up, as Ollama does once it has read a head.
        request.protocol.force_close()
    finally:
        answer.reader.close()
    return response


@dataclass(frozen=True, slots=True)
class ClearExit:
    """The way out of one response in the clear; may be used for one body after another."""

    request: web.Request
    response: web.StreamResponse
    writer: AbstractStreamWriter
    pumps: Pumps

    async def send_spans(
        self, file_fd: int, spans: AsyncIterator[Span], note_sent: Callable[[int], None]
    ) -> int:
        self.writer.send_headers()
        out_fd = await take_socket(self.request.transport, self.writer.drain)
        return await self.pumps.send(out_fd, file_fd, spans, note_sent)

    async def write(self, chunk: bytes) -> None:
        await self.response.write(chunk)
