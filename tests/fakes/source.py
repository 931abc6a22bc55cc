"""A Source whose every answer is scripted, that counts what it is asked and can be held back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.source import (
    Chunk,
    FetchedManifest,
    ManifestRequest,
    OriginMisbehavedError,
    OriginUnreachableError,
    Refusal,
)

NOT_FOUND = Refusal(404, {"Content-Type": "application/json"}, b'{"errors":[]}')


class FakeSource:
    """Manifests and blobs by name, faults on cue.

    `manifests` maps a reference to what a GET gives; a HEAD tells its digest while `tells_digest`.
    `blobs` maps a digest to the bytes behind it, right or wrong. `is_away` makes everything
    unreachable; each of `troubles` is raised once by `open_span`, after as many bytes as it says.
    `is_open` is what all answers wait for; `gates` hold a blob's bytes back from an offset on.
    """

    def __init__(self, *, chunk_size_bytes: int = 1000) -> None:
        self.manifests: dict[Reference, FetchedManifest | Refusal] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.chunksums: dict[Digest, bytes] = {}
        self.tells_digest = True
        self.is_away = False
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.gates: dict[int, asyncio.Event] = {}
        self.troubles: list[tuple[int, Exception]] = []
        self.asked: list[str] = []
        self.agents: list[str] = []
        self.accepts: list[str] = []
        self.timeouts: list[float] = []
        self.spans: list[Span] = []
        self.sent_bytes = 0
        self.is_asked = asyncio.Event()
        self._chunk_size_bytes = chunk_size_bytes

    def publish(self, reference: Reference, content: bytes, *blobs: bytes) -> Digest:
        """Serve `content` as the manifest of `reference`, and `blobs`; return its digest."""
        self.manifests[reference] = FetchedManifest(content, MANIFEST_TYPE)
        self.blobs |= {digest_of(each): each for each in blobs}
        return digest_of(content)

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        await self._note("GET manifest", request, timeout_seconds)
        return self.manifests.get(reference, NOT_FOUND)

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        await self._note("HEAD manifest", request, timeout_seconds)
        found = self.manifests.get(reference, NOT_FOUND)
        if isinstance(found, Refusal) or not self.tells_digest:
            return None
        return digest_of(found.content)

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        await self._note("HEAD blob")
        return len(self.blobs[digest]) if digest in self.blobs else NOT_FOUND

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        await self._note("GET chunksums")
        return self.chunksums.get(digest, NOT_FOUND)

    @asynccontextmanager
    async def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        await self._note("GET blob")
        self.spans.append(span)
        content = self.blobs.get(digest)
        if content is None or len(content) != size_bytes:
            raise OriginMisbehavedError("the blob has another size than its manifest says")
        yield self._chunks(content, span)

    async def _note(
        self, what: str, request: ManifestRequest | None = None, timeout_seconds: float = 0.0
    ) -> None:
        self.asked.append(what)
        if request is not None:
            self.agents.append(request.user_agent)
            self.accepts.append(request.accept)
            self.timeouts.append(timeout_seconds)
        self.is_asked.set()
        await self.is_open.wait()
        if self.is_away:
            raise OriginUnreachableError("nobody is there")

    async def _chunks(self, content: bytes, span: Span) -> AsyncIterator[bytes]:
        position = span.start
        trouble = self.troubles.pop(0) if self.troubles else None
        while position < span.stop:
            stop = min(position + self._chunk_size_bytes, span.stop)
            if trouble is not None:
                stop = min(stop, span.start + trouble[0])
            for at, gate in self.gates.items():
                if at <= position:
                    await gate.wait()
                elif position < at < stop:
                    stop = at
            if stop == position and trouble is not None:
                raise trouble[1]
            self.sent_bytes += stop - position
            yield content[position:stop]
            position = stop
