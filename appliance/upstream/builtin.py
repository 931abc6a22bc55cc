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
from appliance.upstream.source import FetchedManifest, ManifestRequest, Refusal

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
        if reference.target not in (BUILTIN.target, digest_of(self.manifest)):
            return Refusal(404, {"Content-Type": "application/json"}, b'{"errors":[]}')
        return FetchedManifest(self.manifest, MANIFEST_TYPE)

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        return digest_of(self.manifest)

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        if digest not in self._blobs:
            return Refusal(404)
        return len(self._blobs[digest])

    @asynccontextmanager
    async def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def chunks() -> AsyncIterator[bytes]:
            yield self._blobs[digest][span.start : span.stop]

        yield chunks()


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
