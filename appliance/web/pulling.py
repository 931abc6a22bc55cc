"""`POST /api/pull`: a model fetched for everybody, and how far it is, line by line.

The lines are those of Ollama's own pull, each said when it is so: a blob's `completed` is what of
its beginning is on this box's disk, and `success` comes once every digest is right.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, web

from appliance.cache.manifests import FoundManifest
from appliance.cache.pulls import Cache
from appliance.cache.warming import WarmingError, warm_blob
from appliance.protocol.errors import NameInvalid, Verdict
from appliance.protocol.manifest import MANIFEST_TYPE, Descriptor, parse_manifest
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.source import ManifestRequest, Refusal
from appliance.web.clear import read_text
from appliance.web.facts import Facts
from appliance.web.forms import read_document
from appliance.web.ollama import MODEL, read_reference, refuse, refuse_name
from appliance.web.routes import Field, Route

PULLS_MAX = 16  # At once. Each may download hundreds of gigabytes, and costs who asks nothing.
LINE_SECONDS = 0.1  # Between two lines of one blob: a bar that moves, and no more.
LINES_TYPE = "application/x-ndjson"
_SHOWN_DIGITS = 12

_UNREACHABLE = HTTPStatus.SERVICE_UNAVAILABLE

type Line = dict[str, Any]


class PullRefusedError(Exception):
    """The pull comes to nothing; `status` is for who did not ask for a stream."""

    def __init__(self, message: str, status: HTTPStatus = _UNREACHABLE) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Wish:
    reference: Reference
    user_agent: str
    is_stream: bool


class Pulling:
    """The handler, and how many pulls are under way."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._count = 0

    def routes(self) -> Iterator[Route]:
        what = "Ollama's: fetch `model` for everybody, told line by line"
        wish = (MODEL, Field("stream", "false for the last line alone", "boolean"))
        yield Route(
            "POST",
            "/api/pull",
            self.pull,
            what,
            is_for_programs=True,
            gives=LINES_TYPE,
            body=wish,
        )

    async def pull(self, request: web.Request) -> web.StreamResponse:
        try:
            wish = await self._read_wish(request)
        except (ValueError, NameInvalid):
            return refuse_name()
        if self._count >= PULLS_MAX:
            error = f"{PULLS_MAX} pulls are under way on this box: try again later"
            return refuse(HTTPStatus.TOO_MANY_REQUESTS, error)
        self._count += 1
        try:
            lines = pull_model(self._facts.cache, wish.reference, wish.user_agent)
            async with aclosing(lines):
                return await (_stream(request, lines) if wish.is_stream else _run(lines))
        finally:
            self._count -= 1

    async def _read_wish(self, request: web.Request) -> _Wish:
        document = await read_document(request)
        reference = read_reference(document, self._facts.registry_name)
        is_stream = document.get("stream") is not False
        return _Wish(reference, read_text(request, "User-Agent"), is_stream)


async def pull_model(
    cache: Cache, reference: Reference, user_agent: str, *, is_background: bool = False
) -> AsyncGenerator[Line]:
    """Pull a model into the cache, telling each step. Raises PullRefusedError.

    `is_background`: nobody waits for it, so it may be paused.
    """
    yield {"status": "pulling manifest"}
    found = await _find_manifest(cache, reference, user_agent)
    blobs = {each.digest: each for each in parse_manifest(found.content).descriptors}
    for blob in blobs.values():
        pulling = _pull_blob(cache, reference.repository, blob, is_background=is_background)
        async with aclosing(pulling) as lines:
            async for line in lines:
                yield line
    yield {"status": "verifying sha256 digest"}
    if any(blob.size_bytes and not cache.is_held(blob.digest) for blob in blobs.values()):
        raise PullRefusedError("a blob was let go of meanwhile: the store is too small")
    yield {"status": "writing manifest"}
    if await cache.contents.read_manifest(found.digest) is None:
        raise PullRefusedError("the manifest is not kept: see the box's log")
    yield {"status": "success"}


async def _find_manifest(cache: Cache, reference: Reference, user_agent: str) -> FoundManifest:
    asked = ManifestRequest(accept=MANIFEST_TYPE, user_agent=user_agent)
    try:
        found = await cache.open_manifest(reference, asked)
    except Verdict as verdict:
        raise PullRefusedError(f"pull model manifest: {verdict.message}") from verdict
    if not isinstance(found, Refusal):
        return found
    if found.status == HTTPStatus.NOT_FOUND:  # In the words that Ollama's users know.
        error = "pull model manifest: file does not exist"
        raise PullRefusedError(error, HTTPStatus.NOT_FOUND)
    error = f"pull model manifest: the registry answers {found.status}"
    raise PullRefusedError(error, HTTPStatus.BAD_GATEWAY)


async def measure_model(cache: Cache, reference: Reference, user_agent: str) -> int:
    """How many bytes a pull of a model comes to. Raises PullRefusedError."""
    found = await _find_manifest(cache, reference, user_agent)
    blobs = {each.digest: each.size_bytes for each in parse_manifest(found.content).descriptors}
    return sum(blobs.values())


async def _pull_blob(
    cache: Cache, repository: Repository, blob: Descriptor, *, is_background: bool
) -> AsyncGenerator[Line]:
    said_at, held_bytes = time.monotonic(), 0
    yield _describe(blob, held_bytes)
    try:
        steps = warm_blob(
            cache, repository, blob.digest, blob.size_bytes, is_background=is_background
        )
        async with aclosing(steps):
            async for held_bytes in steps:
                if time.monotonic() - said_at >= LINE_SECONDS or held_bytes == blob.size_bytes:
                    yield _describe(blob, held_bytes)
                    said_at = time.monotonic()
    except WarmingError as fault:
        raise PullRefusedError(str(fault)) from fault


def _describe(blob: Descriptor, held_bytes: int) -> Line:
    """As Ollama says it: where nothing is completed, that goes unsaid."""
    line: Line = {
        "status": f"pulling {blob.digest.encoded[:_SHOWN_DIGITS]}",
        "digest": str(blob.digest),
        "total": blob.size_bytes,
    }
    return {**line, "completed": held_bytes} if held_bytes else line


async def _run(lines: AsyncIterator[Line]) -> web.Response:
    """The last line alone."""
    last: Line = {}
    try:
        async for line in lines:
            last = line
    except PullRefusedError as fault:
        return refuse(fault.status, str(fault))
    return web.json_response(last)


async def _stream(request: web.Request, lines: AsyncIterator[Line]) -> web.StreamResponse:
    """Every line as it comes; a refusal is the last of them, for the status is long out."""
    response = web.StreamResponse(headers={"Content-Type": LINES_TYPE})
    if request.version == HttpVersion11:
        response.enable_chunked_encoding()
    await response.prepare(request)
    try:
        async for line in lines:
            await response.write(_format(line))
    except PullRefusedError as fault:
        await response.write(_format({"error": str(fault)}))
    await response.write_eof()
    return response


def _format(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
