"""Chunksums of the demo's blobs: as the registry cuts them, small enough to see several."""

import hashlib

from aiohttp import web

from appliance.demo.models import DemoBlob
from appliance.protocol.chunksums import CHUNKSUMS_TYPE, Chunk, format_chunksums
from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span

CHUNK_BYTES = 400_000


def answer_chunksums(blob: DemoBlob, url: str) -> web.Response:
    """The chunks of `blob`, whose ranges are to be had at `url`. Reads the blob's file."""
    fields = {"Content-Type": CHUNKSUMS_TYPE, "Content-Location": url}
    return web.Response(body=format_chunksums(cut(blob)), headers=fields)


def cut(blob: DemoBlob) -> list[Chunk]:
    """The blob in chunks of CHUNK_BYTES, the last one shorter."""
    chunks, start = [], 0
    with blob.path.open("rb") as file:
        while content := file.read(CHUNK_BYTES):
            span = Span(start, start + len(content))
            chunks.append(Chunk(Digest(hashlib.sha256(content).hexdigest()), span))
            start = span.stop
    return chunks
