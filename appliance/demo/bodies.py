"""Sending a blob, whole or a span of it: at the line's rate, counted, and broken where asked."""

import asyncio
import os
from contextlib import suppress

from aiohttp import web

from appliance.demo.faults import BodyFault, Break, Faults
from appliance.demo.ledger import Ledger
from appliance.demo.models import DemoBlob
from appliance.demo.rates import Line
from appliance.demo.site import reset
from appliance.protocol.errors import RangeNotSatisfiable
from appliance.protocol.ranges import Span, format_content_range, parse_range

BLOB_TYPE = "application/octet-stream"


class BlobSender:
    """Answers GET and HEAD for blobs, as any server of static files does."""

    def __init__(self, line: Line, faults: Faults, ledger: Ledger) -> None:
        self._line = line
        self._faults = faults
        self._ledger = ledger

    async def send(self, request: web.BaseRequest, blob: DemoBlob) -> web.StreamResponse:
        """Answer `request` with the blob or the span it asks for: 200, 206 or 416."""
        try:
            span = parse_range(request.headers.get("Range", ""), blob.size_bytes)
        except RangeNotSatisfiable as verdict:
            return web.Response(status=416, headers=verdict.fields())
        response = web.StreamResponse(status=206 if span else 200)
        response.headers.update(self._fields(blob, span))
        response.content_length = span.size_bytes if span else blob.size_bytes
        with suppress(ConnectionResetError):  # Who has enough hangs up.
            await response.prepare(request)
            if request.method == "GET" and blob.size_bytes:
                await self._send_body(request, response, blob, span or Span(0, blob.size_bytes))
        return response

    def _fields(self, blob: DemoBlob, span: Span | None) -> dict[str, str]:
        fields = {
            "Content-Type": BLOB_TYPE,
            "ETag": f'"{blob.digest.encoded[:32]}"',
            "Accept-Ranges": "bytes",
        }
        if span:
            shift = self._faults.range_shift_bytes
            named = Span(span.start + shift, span.stop + shift)
            length = blob.size_bytes + shift
            fields["Content-Range"] = format_content_range(named, length)
        return fields

    async def _send_body(
        self, request: web.BaseRequest, response: web.StreamResponse, blob: DemoBlob, span: Span
    ) -> None:
        fault = self._faults.body
        broken = (
            fault if fault and fault.after_bytes < span.size_bytes and fault.strikes() else None
        )
        stop = span.start + broken.after_bytes if broken else span.stop
        agent = request.headers.get("User-Agent", "")
        is_flipped = blob.digest in self._faults.flipped
        transfer = self._line.open_transfer()
        file = os.open(blob.path, os.O_RDONLY)
        try:
            position = span.start
            while position < stop:
                size_bytes = min(transfer.chunk_size_bytes, stop - position)
                await transfer.wait(size_bytes)
                chunk = os.pread(file, size_bytes, position)
                self._ledger.note_sent(blob.digest, agent, len(chunk))
                await response.write(_flipped(chunk, position) if is_flipped else chunk)
                position += len(chunk)
        finally:
            os.close(file)
        if broken:
            await _break(request, broken)


def _flipped(chunk: bytes, position: int) -> bytes:
    """The chunk with the lowest bit of the blob's first byte turned, where it holds that byte."""
    return bytes([chunk[0] ^ 1]) + chunk[1:] if position == 0 else chunk


async def _break(request: web.BaseRequest, fault: BodyFault) -> None:
    if fault.kind is Break.STALL:
        await asyncio.Event().wait()  # Until the client hangs up: that cancels this request.
    elif fault.kind is Break.RESET:
        reset(request)
    elif request.transport is not None:
        request.transport.close()
