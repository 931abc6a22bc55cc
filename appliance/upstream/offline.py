"""A Source for a box that has no Internet (`cache.offline`): it answers at once that it cannot."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import NoReturn

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.source import (
    Chunk,
    FetchedManifest,
    ManifestRequest,
    OriginUnreachableError,
    Refusal,
)


def _refuse() -> NoReturn:
    raise OriginUnreachableError("this box is offline", hint="set cache.offline = false")


class OfflineSource:
    """Every method raises OriginUnreachableError."""

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        _refuse()

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        _refuse()

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        _refuse()

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        _refuse()

    def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        _refuse()
