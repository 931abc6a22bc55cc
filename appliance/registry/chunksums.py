"""Answers about chunksums: which ranges of a blob to fetch from this box, each with its digest.

The origin's own are used where they are needed and right: they let a client fetch a blob that
still arrives in several streams. For a blob that is held, and where the origin is away or wrong,
the blob is one chunk, whose digest is known; so nothing is hashed and nothing stored.
"""

import logging
from dataclasses import dataclass

from appliance.cache.pulls import Cache
from appliance.policy.delivery import Door
from appliance.protocol.chunksums import (
    CHUNKSUMS_TYPE,
    ChunksumsMalformedError,
    format_chunksums,
    parse_chunksums,
    whole,
)
from appliance.protocol.digest import Digest
from appliance.protocol.fields import CacheStatus, format_authority, format_cache_status
from appliance.protocol.reference import Repository
from appliance.registry.requests import Answer, Request
from appliance.upstream.source import OriginUnreachableError, Refusal

_HTTPS_PORT = 443
_HTTP_PORT = 80

_log = logging.getLogger("cache")


@dataclass(frozen=True, slots=True)
class ChunksumsRoutes:
    """Chunksums of blobs that a stored manifest lists."""

    cache: Cache

    async def answer(
        self, request: Request, repository: Repository, digest: Digest, size_bytes: int
    ) -> Answer:
        """The chunks of a blob, and where this client finds them."""
        content = None
        if not self.cache.is_held(digest):
            content = await self._ask(repository, digest, size_bytes)
        status = CacheStatus.HIT if content is None else CacheStatus.UNCACHED
        fields = {
            "Content-Type": CHUNKSUMS_TYPE,
            "Content-Location": _blob_url(request, repository, digest),
            "Cache-Status": format_cache_status(status),
        }
        return Answer(200, fields, content or format_chunksums(whole(digest, size_bytes)))

    async def _ask(self, repository: Repository, digest: Digest, size_bytes: int) -> bytes | None:
        """The origin's own, to the byte; None where it has none that are right."""
        try:
            content = await self.cache.fetch_chunksums(repository, digest)
            if isinstance(content, Refusal):
                return None
            parse_chunksums(content, size_bytes)
        except OriginUnreachableError:
            return None
        except ChunksumsMalformedError as error:
            _log.warning("the origin's chunksums of %s are not used: %s", digest, error)
            return None
        return content


def _blob_url(request: Request, repository: Repository, digest: Digest) -> str:
    """The blob's URL by the name and port that the client came by: it needs an absolute one."""
    scheme, usual = ("http", _HTTP_PORT) if request.door is Door.HTTP else ("https", _HTTPS_PORT)
    authority = format_authority(request.host, request.host_port or usual, default_port=usual)
    return f"{scheme}://{authority}/v2/{repository}/blobs/{digest}"
