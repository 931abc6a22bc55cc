"""What the cache needs of wherever a model comes from: the origin today, a peer tomorrow.

Every method asks anonymously: what a source returns may be given to anybody.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository

type Chunk = bytes | bytearray | memoryview


class OriginUnreachableError(Exception):
    """The origin did not answer, or answered that it cannot now.

    `hint` is what an operator can do; `retry_after_seconds` what the origin asked for, if it did.
    """

    def __init__(
        self, message: str, *, hint: str = "", retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.hint = hint or "run `ollama-appliance check`; is the Internet reachable from the box?"
        self.retry_after_seconds = retry_after_seconds


class OriginMisbehavedError(OriginUnreachableError):
    """The origin answered with something other than what was asked for: nothing of it is used."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The origin's own no (a 4xx), to be passed on as it came."""

    status: int
    fields: dict[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """The bytes of a 200 and the type they were given; not yet known to be a manifest."""

    content: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class ManifestRequest:
    """What of a client's request decides the origin's answer."""

    accept: str
    user_agent: str


class Source(Protocol):
    """Where manifests and blobs are fetched. All raise OriginUnreachableError."""

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        """Fetch a manifest; at most MANIFEST_SIZE_BYTES_MAX of it are read."""
        ...

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        """Ask for a manifest's digest only; None where the source cannot tell."""
        ...

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        """Ask for a blob's size in bytes."""
        ...

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        """Fetch a blob's chunksums as they are; at most CHUNKSUMS_SIZE_BYTES_MAX are read."""
        ...

    def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open `span` of a blob of `size_bytes`; the chunks are its bytes from `span.start` on.

        A chunk is valid until the next is asked for, and never changed.
        The iterator ends early only by raising; it never gives more than the span's bytes.
        """
        ...
