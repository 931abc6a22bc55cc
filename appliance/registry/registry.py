"""The registry that every door speaks for: one request in, one reply out.

What is a pull of public things is answered from the cache. What carries Authorization, or is no
pull, passes to the origin where the door can do that; the plain door cannot, because nothing
secret travels in the clear, and says so. A client that signs everything is answered as anybody is,
and passes where anybody is refused.
"""

import time
from dataclasses import dataclass, field, replace

from appliance.cache.manifests import FoundManifest
from appliance.cache.pulls import Cache
from appliance.cache.tally import Count
from appliance.policy.delivery import Delivery, Door
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown, Denied, MethodNotAllowed, Unavailable, Verdict
from appliance.protocol.fields import CacheStatus, format_cache_status
from appliance.protocol.reference import Reference, Repository
from appliance.protocol.routes import (
    BlobPull,
    ChunksumsPull,
    ManifestPull,
    Other,
    Ping,
    parse_route,
)
from appliance.registry.blobs import BLOBS_PATH, BlobRoutes
from appliance.registry.chunksums import ChunksumsRoutes
from appliance.registry.meters import Meters
from appliance.registry.requests import (
    Answer,
    BlobAnswer,
    PassThrough,
    Reply,
    Request,
    asks_for_part,
)
from appliance.upstream.source import ManifestRequest, Refusal


@dataclass(frozen=True, slots=True)
class Registry:
    """Answers for the intercepted names."""

    cache: Cache
    blobs: BlobRoutes
    meters: Meters = field(default_factory=Meters)

    async def answer(self, request: Request) -> Reply:
        """Answer, never raising a Verdict: those are answers too."""
        asked_at = time.monotonic()
        try:
            reply = await self._answer(request)
        except Verdict as verdict:
            reply = Answer(verdict.status, verdict.fields(), verdict.body())
        if isinstance(reply, Answer) and reply.status >= _ERRORS:
            reply = _bared(request, reply)
        self.meters.note(request, reply, time.monotonic() - asked_at)
        return reply

    async def _answer(self, request: Request) -> Reply:
        if request.door is Door.HTTP:
            return await self._answer_in_the_clear(request)
        if request.host == self.blobs.blob_host:
            return await self._answer_on_blob_host(request)
        if request.has_authorization and not request.is_signed_by_habit:
            return PassThrough()
        if request.target.startswith(BLOBS_PATH):
            return await self._answer_granted_or_pass(request)
        return await self._answer_pull(request)

    async def _answer_in_the_clear(self, request: Request) -> Reply:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("in the clear this box only reads: use https for the rest")
        if request.target.startswith(BLOBS_PATH):
            return await self.blobs.answer_granted(request)
        return await self._answer_pull(request)

    async def _answer_pull(self, request: Request) -> Reply:
        match parse_route(request.method, request.target):
            case ManifestPull(reference):
                return await self._answer_manifest(request, reference)
            case BlobPull(repository, digest):
                return await self._answer_blob(request, repository, digest)
            case ChunksumsPull(repository, digest):
                return await self._answer_chunksums(request, repository, digest)
            case Ping():
                return Answer(200, {"Content-Type": "application/json", **_API_VERSION}, b"{}")
            case Other():
                return _pass_or_refuse(request)

    async def _answer_granted_or_pass(self, request: Request) -> Reply:
        """On the registry's own name only what carries a grant of ours is ours."""
        try:
            return await self.blobs.answer_granted(request)
        except (BlobUnknown, Denied):
            return PassThrough()

    async def _answer_on_blob_host(self, request: Request) -> Reply:
        """Blobs under a grant, and nothing else: no origin stands behind that name."""
        if request.method not in ("GET", "HEAD") or not request.target.startswith(BLOBS_PATH):
            raise BlobUnknown("this name serves blobs of this box, under a grant, and nothing else")
        return await self.blobs.answer_granted(request)

    async def _answer_manifest(self, request: Request, reference: Reference) -> Reply:
        asked = ManifestRequest(accept=request.accept, user_agent=request.user_agent)
        found = await self.cache.open_manifest(reference, asked)
        if isinstance(found, Refusal):
            if _may_pass(request) and request.has_authorization:
                return PassThrough()  # Not for everybody; perhaps for who has signed.
            return Answer(found.status, found.fields, found.content)
        if request.client.is_ollama and self._is_in_vain(request, found):
            raise Unavailable(self.blobs.explain_refusal(request))
        if request.method == "GET":
            self.cache.note_given(request.client_address, reference, found.digest)
        return Answer(200, _manifest_fields(found), found.content)

    def _is_in_vain(self, request: Request, found: FoundManifest) -> bool:
        """Whether the blobs of this pull could not be delivered: then better no pull at all."""
        is_reachable = found.status is not CacheStatus.STALE_HIT
        return self.blobs.choose(request, is_origin_reachable=is_reachable) is Delivery.REFUSE

    async def _answer_blob(self, request: Request, repository: Repository, digest: Digest) -> Reply:
        is_listed = self.cache.is_listed(repository, digest)
        if request.door is not Door.HTTP and not is_listed:
            return PassThrough()  # Perhaps a push asks; only the origin knows what is there.
        if request.method == "HEAD":
            return await self.blobs.answer_size(request, repository, digest)
        can_answer_here = request.door is Door.HTTP or self.blobs.can_send_inline
        if request.range_field is not None and can_answer_here:
            return await self.blobs.answer_body(request, repository, digest)
        match self._choose(request, repository, digest):
            case Delivery.ORIGIN:
                self.cache.books.tally.add(Count.DEFERRED)
                return PassThrough()
            case Delivery.REFUSE:
                raise Unavailable(self.blobs.explain_refusal(request))
            case Delivery.INLINE:
                return await self._answer_inline(request, repository, digest)
            case delivery:
                status = 200 if delivery is Delivery.LOCATION else 307
                location = self.blobs.location(request, delivery, repository, digest)
                return Answer(status, {"Location": location})

    def _choose(self, request: Request, repository: Repository, digest: Digest) -> Delivery:
        if request.door is not Door.HTTP and self.cache.books.is_own(repository):
            return Delivery.REDIRECT  # The box's check of itself tries the plain door, always.
        return self.blobs.choose(request, digest)

    async def _answer_chunksums(
        self, request: Request, repository: Repository, digest: Digest
    ) -> Reply:
        if not self.cache.is_listed(repository, digest):
            return _pass_or_refuse(request)
        size_bytes = await self.cache.find_blob_size(repository, digest)
        assert isinstance(size_bytes, int), "a stored manifest lists it"
        return await ChunksumsRoutes(self.cache).answer(request, repository, digest, size_bytes)

    async def _answer_inline(
        self, request: Request, repository: Repository, digest: Digest
    ) -> Reply:
        reply = await self.blobs.answer_body(request, repository, digest)
        if not request.client.is_ollama or not isinstance(reply, BlobAnswer):
            return reply
        # Ollama takes a 200 only with a Location, and fetches its ranges from there.
        location = self.blobs.location(request, Delivery.INLINE, repository, digest)
        return replace(reply, fields={**reply.fields, "Location": location})


_ERRORS = 400
_OF_BODIES = frozenset({"Content-Type", "Content-Length", "Content-Encoding"})
_API_VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}


def _manifest_fields(found: FoundManifest) -> dict[str, str]:
    return {
        "Content-Type": found.content_type,
        "Docker-Content-Digest": str(found.digest),
        "ollama-content-digest": found.digest.encoded,
        "Cache-Status": format_cache_status(found.status),
        **_API_VERSION,
    }


def _bared(request: Request, error: Answer) -> Answer:
    """The same without its body, where that would be taken for bytes of a blob."""
    if not asks_for_part(request.method, request.target, request.range_field):
        return error
    fields = {name: text for name, text in error.fields.items() if name not in _OF_BODIES}
    return Answer(error.status, fields)


def _may_pass(request: Request) -> bool:
    """Whether its door can take it to the origin: nothing secret travels in the clear."""
    return request.door is not Door.HTTP


def _pass_or_refuse(request: Request) -> Reply:
    if _may_pass(request):
        return PassThrough()
    raise MethodNotAllowed("in the clear this box serves pulls only: use https for the rest")
