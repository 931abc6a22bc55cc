"""Manifests: the stored one, the origin's word on it, or the origin's own.

Theory of operation. A stored manifest that fits the request is used while it is fresh; when stale
the origin is asked for its digest, which costs no body, and only a digest that moved is fetched.
An origin that is away, or answers with what is no manifest (a captive portal), never takes a
stored model away from anybody: the stale one is served and marked. Its 4xx are its own word and
are passed on, none of them stored. All who ask the same at the same time share one question.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from appliance.cache.collapse import Collapse
from appliance.cache.tally import Count, Tally
from appliance.policy.freshness import Freshness, fits, judge_freshness
from appliance.protocol.clients import Version, parse_client
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.errors import BadGateway, Unavailable
from appliance.protocol.fields import CacheStatus
from appliance.protocol.manifest import ManifestMalformedError, parse_manifest
from appliance.protocol.reference import Reference, Repository
from appliance.store.faults import StoreError
from appliance.store.records import TagRecord
from appliance.store.store import Store
from appliance.upstream.source import (
    FetchedManifest,
    ManifestRequest,
    OriginUnreachableError,
    Refusal,
    Source,
)

STALE_SECONDS = 2.0  # How long the origin may think while we hold an answer.
ABSENT_SECONDS = 20.0  # And while we hold none: the client itself would wait for ever.
_log = logging.getLogger("cache")

TOO_MANY_REQUESTS = 429  # The one 4xx that says nothing about the model.


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest and how it came to be the answer."""

    content: bytes
    content_type: str
    digest: Digest
    status: CacheStatus


class Manifests:
    """The manifest half of the cache."""

    def __init__(
        self,
        store: Store,
        source_for: Callable[[Repository], Source],
        collapse: Collapse,
        tally_for: Callable[[Repository], Tally],
        *,
        now: Callable[[], float],
        fresh_seconds: float,
    ) -> None:
        self._store = store
        self._source_for = source_for
        self._collapse = collapse
        self._tally_for = tally_for
        self._now = now
        self._fresh_seconds = fresh_seconds

    async def open(self, reference: Reference, request: ManifestRequest) -> FoundManifest | Refusal:
        """Find the manifest that answers `request`.

        Raises:
            Unavailable: nothing that fits is stored and the origin cannot be asked.
            BadGateway: the origin answers with what is no manifest, and nothing is stored.
        """
        record = self._store.find_tag(reference, request.accept)
        client = parse_client(request.user_agent)
        if record is not None and fits(client, record.client_version_lowest):
            content = await self._store.read_manifest(record.digest)
            if content is not None:
                return await self._use(self._latest(record), content, request)
        return await self._fetch_absent(reference, request)

    def _latest(self, record: TagRecord) -> TagRecord:
        """The same with what others learnt while its bytes were read: perhaps it was checked."""
        latest = self._store.find_tag(record.reference, record.accept)
        return latest if latest is not None and latest.digest == record.digest else record

    async def _use(
        self, record: TagRecord, content: bytes, request: ManifestRequest
    ) -> FoundManifest | Refusal:
        freshness = judge_freshness(
            checked_at=record.checked_at,
            now=self._now(),
            fresh_seconds=self._fresh_seconds,
            is_immutable=record.reference.tag is None,
        )
        stored = FoundManifest(content, record.content_type, record.digest, CacheStatus.HIT)
        if freshness is Freshness.FRESH:
            self._count(record.reference, Count.MANIFEST_HITS)
            return stored
        try:
            return await self._shared(
                record.reference, request, lambda: self._ask(stored, record, request)
            )
        except (OriginUnreachableError, ManifestMalformedError):
            self._count(record.reference, Count.MANIFEST_STALE)
            return replace(stored, status=CacheStatus.STALE_HIT)

    async def _ask(
        self, stored: FoundManifest, record: TagRecord, request: ManifestRequest
    ) -> FoundManifest | Refusal:
        source = self._source_for(record.reference.repository)
        digest = await source.fetch_manifest_digest(
            record.reference, request, timeout_seconds=STALE_SECONDS
        )
        if digest == record.digest:
            await self._note_checked(record)
            self._count(record.reference, Count.MANIFEST_REVALIDATIONS)
            return replace(stored, status=CacheStatus.REVALIDATED)
        return await self._fetch(record.reference, request, STALE_SECONDS)

    async def _fetch_absent(
        self, reference: Reference, request: ManifestRequest
    ) -> FoundManifest | Refusal:
        try:
            return await self._shared(
                reference, request, lambda: self._fetch(reference, request, ABSENT_SECONDS)
            )
        except ManifestMalformedError as error:
            raise BadGateway(
                f"the origin's answer is no manifest ({error}): {error.hint}"
            ) from error
        except OriginUnreachableError as error:
            raise Unavailable(f"{reference} is not stored, and {error}") from error

    async def _shared(
        self,
        reference: Reference,
        request: ManifestRequest,
        job: Callable[[], Awaitable[FoundManifest | Refusal]],
    ) -> FoundManifest | Refusal:
        return await self._collapse.run((reference, request.accept, request.user_agent), job)

    async def _fetch(
        self, reference: Reference, request: ManifestRequest, timeout_seconds: float
    ) -> FoundManifest | Refusal:
        source = self._source_for(reference.repository)
        fetched = await source.fetch_manifest(reference, request, timeout_seconds=timeout_seconds)
        if isinstance(fetched, Refusal):
            if fetched.status == TOO_MANY_REQUESTS and timeout_seconds == STALE_SECONDS:
                raise OriginUnreachableError("the origin asks us to wait")
            return fetched
        digest, media_type = _check(reference, fetched)
        # The origin calls every manifest text/plain, which only Ollama reads as one.
        fetched = replace(fetched, content_type=media_type)
        earlier = self._store.find_tag(reference, request.accept)
        if earlier is not None and earlier.digest == digest:
            status, count = CacheStatus.REVALIDATED, Count.MANIFEST_REVALIDATIONS
        else:
            status, count, earlier = CacheStatus.MISS, Count.MANIFEST_MISSES, None
        self._count(reference, count)
        record = self._record(reference, request, fetched, digest, earlier)
        if not await self._write(record, fetched.content):
            status = CacheStatus.UNCACHED
        return FoundManifest(fetched.content, fetched.content_type, digest, status)

    async def _write(self, record: TagRecord, content: bytes) -> bool:
        """Store it if the disk takes it: the client gets it either way."""
        try:
            await self._store.write_manifest(record, content)
        except (StoreError, OSError) as fault:
            _log.warning("%s is not stored: %s", record.reference, fault)
            return False
        return True

    async def _note_checked(self, record: TagRecord) -> None:
        try:
            await asyncio.to_thread(self._store.note_checked, record, self._now())
        except (StoreError, OSError) as fault:  # It is asked again sooner, no more.
            _log.warning("the check of %s is not noted: %s", record.reference, fault)

    def _count(self, reference: Reference, count: Count) -> None:
        self._tally_for(reference.repository).add(count)

    def _record(
        self,
        reference: Reference,
        request: ManifestRequest,
        fetched: FetchedManifest,
        digest: Digest,
        earlier: TagRecord | None,
    ) -> TagRecord:
        """`earlier` is the record of the same digest, where there is one."""
        lowest = parse_client(request.user_agent).version
        if earlier is not None:
            lowest = _lower(lowest, earlier.client_version_lowest)
        return TagRecord(
            reference=reference,
            accept=request.accept,
            digest=digest,
            size_bytes=len(fetched.content),
            content_type=fetched.content_type,
            client_version_lowest=lowest,
            stored_at=earlier.stored_at if earlier else self._now(),
            checked_at=self._now(),
        )


def _check(reference: Reference, fetched: FetchedManifest) -> tuple[Digest, str]:
    """The digest and media type of a manifest that is one, and the one that was asked for."""
    manifest = parse_manifest(fetched.content)
    digest = digest_of(fetched.content)
    if isinstance(reference.target, Digest) and reference.target != digest:
        raise ManifestMalformedError("its digest is not the one that was asked for")
    return digest, manifest.media_type


def _lower(one: Version | None, other: Version | None) -> Version | None:
    return min((each for each in (one, other) if each is not None), default=None)
