"""Answers about blobs: their size, where to fetch them, and their bytes under a grant."""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.cache.pulls import Cache
from appliance.policy.delivery import Delivery, DeliveryPolicy, Door, choose_delivery
from appliance.policy.grants import GRANT_SECONDS, Grant, format_grant, is_valid, read_grant
from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import BlobUnknown, Denied, DigestInvalid
from appliance.protocol.fields import format_authority, format_cache_status
from appliance.protocol.ranges import Span, format_content_range, parse_range
from appliance.protocol.reference import Repository
from appliance.registry.requests import Answer, BlobAnswer, Reply, Request
from appliance.upstream.source import Refusal

BLOB_TYPE = "application/octet-stream"
BLOBS_PATH = "/blobs/"
_HTTP_PORT = 80
_GRANTS_IN_USE_MAX = 10_000  # Of two numbers each; past it the oldest use is forgotten.


@dataclass
class BlobRoutes:
    """Where blob bodies are fetched: how Locations are written, and how grants are honoured.

    `address` is the operator's (`box.address`), "" for the one each client dialled; `port` is where
    the plain door listens.
    """

    cache: Cache
    policy: DeliveryPolicy
    secret: bytes
    address: str
    port: int
    now: Callable[[], float]
    _used_at: dict[tuple[Digest, int], float] = field(default_factory=dict)

    async def answer_size(self, request: Request, repository: Repository, digest: Digest) -> Reply:
        """HEAD of a blob: 200 and its exact length, or the origin's refusal."""
        size_bytes = await self.cache.find_blob_size(repository, digest)
        if isinstance(size_bytes, Refusal):
            return Answer(size_bytes.status, size_bytes.fields, size_bytes.content)
        fields = _blob_fields(digest) | {"Content-Length": str(size_bytes)}
        return Answer(200, fields)

    def choose(self, request: Request) -> Delivery:
        """How this client is to be given a blob's body."""
        address = self.address or request.dialled
        return choose_delivery(
            self.policy,
            request.door,
            request.client,
            dialled_by_address=request.host == address,
        )

    def location(self, request: Request, repository: Repository, digest: Digest) -> str:
        """The URL of a blob on this box, with a grant for it.

        A client that came in the clear is sent to the port by which it came.
        """
        port = self.port if request.door is Door.HTTPS else (request.host_port or _HTTP_PORT)
        address = self.address or request.dialled
        authority = format_authority(address, port, default_port=_HTTP_PORT)
        grant = Grant(digest, repository, int(self.now()) + GRANT_SECONDS)
        return f"http://{authority}{BLOBS_PATH}{digest}?{format_grant(self.secret, grant)}"

    async def answer_granted(self, request: Request) -> Reply:
        """GET or HEAD of `/blobs/<digest>?<grant>`. Raises Denied without a valid grant."""
        path, _, query = request.target.partition("?")
        try:
            digest = parse_digest(path.removeprefix(BLOBS_PATH).replace("%3A", ":"))
        except DigestInvalid as error:
            raise BlobUnknown("no blob has such a name") from error
        grant = read_grant(self.secret, digest, query)
        key = (digest, grant.expires_at)
        if not is_valid(grant, self.now(), used_at=self._used_at.get(key)):
            raise Denied("this URL's grant has expired: pull the model again")
        self._note_used(key)
        return await self.answer_body(request, grant.repository, digest)

    async def answer_body(self, request: Request, repository: Repository, digest: Digest) -> Reply:
        """The blob's bytes, whole or the range asked for. Raises RangeNotSatisfiable."""
        size_bytes = await self.cache.find_blob_size(repository, digest)
        if isinstance(size_bytes, Refusal):
            return Answer(size_bytes.status, size_bytes.fields, size_bytes.content)
        fields = _blob_fields(digest)
        asked = request.range_field if request.method == "GET" else None  # RFC 9110 §14.2
        span = parse_range(asked, size_bytes) if asked else None
        if span is not None:
            fields["Content-Range"] = format_content_range(span, size_bytes)
        whole = Span(0, size_bytes) if size_bytes else None
        served = span or whole
        if served is None or request.method == "HEAD":
            return Answer(200, fields | {"Content-Length": str(size_bytes)})
        reader = await self.cache.open_blob(repository, digest, size_bytes, served)
        fields["Content-Length"] = str(served.size_bytes)
        fields["Cache-Status"] = format_cache_status(reader.status)
        return BlobAnswer(206 if span else 200, fields, reader)

    def _note_used(self, key: tuple[Digest, int]) -> None:
        self._used_at.pop(key, None)
        self._used_at[key] = self.now()
        if len(self._used_at) > _GRANTS_IN_USE_MAX:
            del self._used_at[next(iter(self._used_at))]


def _blob_fields(digest: Digest) -> dict[str, str]:
    return {
        "Content-Type": BLOB_TYPE,
        "Accept-Ranges": "bytes",
        "Docker-Content-Digest": str(digest),
        "ETag": f'"{digest}"',
    }
