"""A registry over a real store and cache, whose source answers from memory and fails on cue."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.policy.delivery import DeliveryPolicy
from appliance.policy.eviction import Budget
from appliance.policy.grants import Grant, format_grant
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository, parse_model_name
from appliance.registry.blobs import BlobRoutes
from appliance.registry.registry import Registry
from appliance.store.store import Store, open_store
from appliance.upstream.source import (
    FetchedManifest,
    ManifestRequest,
    OriginUnreachableError,
    Refusal,
)

NOON = 1_700_000_000.0
BLOB_HOST = "ollama-blobs.home.arpa"
SECRET = b"only of these tests"
CHUNK_BYTES = 64 * 1024


class FakeSource:
    """A Source in memory. `is_away`: nothing answers; `gate`: blob bytes wait for it."""

    def __init__(self) -> None:
        self.manifests: dict[Reference, bytes] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.chunksums: dict[Digest, bytes] = {}
        self.is_private = False  # Nobody may ask without a token.
        self.is_away = False
        self.cut_at: int | None = None  # No byte of a blob from here on.
        self.gate = asyncio.Event()
        self.gate.set()

    def publish(self, name: str, *blobs: bytes) -> Digest:
        """Have a model of `blobs`; the digest of its manifest."""
        layers = [
            {"mediaType": "application/x", "digest": str(digest_of(blob)), "size": len(blob)}
            for blob in blobs
        ]
        document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers}
        content = json.dumps(document).encode()
        self.manifests[parse_model_name(name)] = content
        self.blobs |= {digest_of(blob): blob for blob in blobs}
        return digest_of(content)

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        self._check()
        if self.is_private:
            return Refusal(401, {"WWW-Authenticate": 'Bearer realm="https://x/token"'}, b"no")
        if reference not in self.manifests:
            return Refusal(404, {"Content-Type": "application/json"}, b'{"errors":[]}')
        return FetchedManifest(self.manifests[reference], MANIFEST_TYPE)

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        self._check()
        return None if self.is_private else digest_of(self.manifests[reference])

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        self._check()
        return len(self.blobs[digest]) if digest in self.blobs else Refusal(404)

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        self._check()
        return self.chunksums.get(digest, Refusal(404))

    @asynccontextmanager
    async def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self._check()
        yield self._chunks(digest, span)

    async def _chunks(self, digest: Digest, span: Span) -> AsyncIterator[bytes]:
        stop = span.stop if self.cut_at is None else min(span.stop, self.cut_at)
        for start in range(span.start, stop, CHUNK_BYTES):
            await self.gate.wait()
            yield self.blobs[digest][start : min(start + CHUNK_BYTES, stop)]
        if stop < span.stop:
            raise OriginUnreachableError("cut on cue")

    def _check(self) -> None:
        if self.is_away:
            raise OriginUnreachableError("away on cue")


@dataclass(frozen=True, slots=True)
class Shop:
    """A registry, and what stands behind it. `min_free_bytes` is asked before each fill."""

    source: FakeSource
    store: Store
    cache: Cache
    registry: Registry
    min_free_bytes: list[int]

    def keep(self, name: str, *blobs: bytes) -> None:
        """Hold the blobs of a model before anybody asks."""
        self.source.publish(name, *blobs)
        repository = parse_model_name(name).repository
        for blob in blobs:
            if self.store.find_blob(digest_of(blob)) is not None:
                continue
            pending = self.store.begin(digest_of(blob), len(blob), repository, min_free_bytes=0)
            pending.write(0, blob)
            pending.commit(stored_at=NOON)

    def grant(self, name: str, blob: bytes, *, expires_at: float = NOON + 60) -> str:
        """The target under which a blob is fetched."""
        grant = Grant(digest_of(blob), parse_model_name(name).repository, int(expires_at))
        return f"/blobs/{grant.digest}?{format_grant(SECRET, grant)}"


@asynccontextmanager
async def open_shop(root: Path) -> AsyncIterator[Shop]:
    """A registry at `root` whose clock stands still at NOON."""
    source, min_free_bytes = FakeSource(), [0]
    with open_store(root) as store:
        cache = Cache(
            store,
            lambda _: source,
            now=lambda: NOON,
            fresh_seconds=300.0,
            budget=lambda: Budget(min_free_bytes[0], 2**60),
            uncounted=Uncounted(Repository("box", "own"), ()),
            client_days=30,
        )
        policy = DeliveryPolicy(refuse_private_from=(0, 35, 2))
        routes = BlobRoutes(
            cache,
            policy,
            SECRET,
            address="",
            port=8080,
            blob_host=BLOB_HOST,
            tls_port=443,
            is_blob_host_offered=lambda request: False,
            proxy_port=3128,
            now=lambda: NOON,
        )
        async with cache:
            yield Shop(source, store, cache, Registry(cache, routes), min_free_bytes)
