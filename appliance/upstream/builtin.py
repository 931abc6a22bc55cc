"""The tiny model that every box carries, and a Source that it can be pulled from.

The box pulls it through its own DNS, TLS, addons and cache before it says `ready`, and again to
know that it is healthy: a check that goes the way of a client cannot be green while clients fail.
"""

import hashlib
import json
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
    Refusal,
)

BUILTIN = Reference(Repository("ollama-appliance", "self-check"), "latest")
_LAYER_SIZE_BYTES = 64 * 1024  # Several TCP segments, so that a range of it is a real one.


class BuiltinSource:
    """A Source with one model in it, made of bytes that are the same in every box."""

    def __init__(self) -> None:
        layer = hashlib.shake_256(b"ollama-appliance self-check").digest(_LAYER_SIZE_BYTES)
        config = json.dumps({"model_format": "none", "model_family": "self-check"}).encode()
        self._blobs = {digest_of(each): each for each in (layer, config)}
        self.manifest = _format_manifest(layer, config)

    @property
    def size_bytes(self) -> int:
        return sum(len(each) for each in self._blobs.values())

    @property
    def digests(self) -> tuple[Digest, ...]:
        return tuple(self._blobs)

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        if not self._is_ours(reference):
            return Refusal(404, {"Content-Type": "application/json"}, b'{"errors":[]}')
        return FetchedManifest(self.manifest, MANIFEST_TYPE)

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        return digest_of(self.manifest) if self._is_ours(reference) else None

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        blob = self._find(repository, digest)
        return Refusal(404) if blob is None else len(blob)

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        return Refusal(404)

    @asynccontextmanager
    async def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        blob = self._find(repository, digest)
        if blob is None or len(blob) != size_bytes:
            raise OriginMisbehavedError(f"the self-check model has no blob {digest} of that size")
        yield _chunks(blob[span.start : span.stop])

    def _is_ours(self, reference: Reference) -> bool:
        targets = (BUILTIN.target, digest_of(self.manifest))
        return reference.repository == BUILTIN.repository and reference.target in targets

    def _find(self, repository: Repository, digest: Digest) -> bytes | None:
        return self._blobs.get(digest) if repository == BUILTIN.repository else None


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _format_manifest(layer: bytes, config: bytes) -> bytes:
    def describe(media_type: str, content: bytes) -> dict[str, object]:
        return {"mediaType": media_type, "digest": str(digest_of(content)), "size": len(content)}

    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe("application/vnd.docker.container.image.v1+json", config),
            "layers": [describe("application/vnd.ollama.image.model", layer)],
        }
    ).encode()
