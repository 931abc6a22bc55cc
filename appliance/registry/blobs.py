"""Answers about blobs: their size, where to fetch them, and their bytes under a grant."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from appliance.cache.pulls import Cache
from appliance.policy.addresses import respell
from appliance.policy.delivery import (
    Circumstances,
    Delivery,
    DeliveryPolicy,
    Door,
    Fallback,
    choose_delivery,
)
from appliance.policy.grants import GRANT_SECONDS, Grant, format_grant, is_valid, read_grant
from appliance.policy.learning import Subject
from appliance.protocol.clients import Client
from appliance.protocol.digest import Digest, digest_of, parse_digest
from appliance.protocol.errors import BlobUnknown, Denied, DigestInvalid, Unavailable
from appliance.protocol.fields import format_authority, format_cache_status
from appliance.protocol.ranges import Span, format_content_range, parse_range
from appliance.protocol.reference import Repository
from appliance.registry.requests import Answer, BlobAnswer, Reply, Request
from appliance.registry.visitors import Visitors
from appliance.upstream.source import Refusal

_log = logging.getLogger("registry")

BLOB_TYPE = "application/octet-stream"
BLOBS_PATH = "/blobs/"
_HTTP_PORT, _HTTPS_PORT = 80, 443
_EMPTY = digest_of(b"")  # Has no parts to fetch.
_GRANTS_IN_USE_MAX = 10_000  # Of two numbers each; past it the oldest use is forgotten.


@dataclass
class BlobRoutes:
    """Where blob bodies are fetched: how Locations are written, and how grants are honoured.

    `address` is the operator's (`box.address`), "" for the one each client dialled; `port` is where
    the plain door listens, `tls_port` where the blob host is reached. `is_blob_host_offered` tells
    whether there is evidence that whoever sent a request reaches the blob host; `can_send_inline`
    that bodies can be sent over TLS at all. `proxy_port` is None where there is no proxy of ours.
    """

    cache: Cache
    policy: DeliveryPolicy
    secret: bytes
    address: str
    port: int
    blob_host: str
    tls_port: int
    is_blob_host_offered: Callable[[Request], bool]
    proxy_port: int | None
    now: Callable[[], float]
    can_send_inline: bool = True
    _used_at: dict[tuple[Digest, int], float] = field(default_factory=dict)
    _visitors: Visitors = field(default_factory=Visitors)

    async def answer_size(self, request: Request, repository: Repository, digest: Digest) -> Reply:
        """HEAD of a blob: 200 and its exact length, or the origin's refusal."""
        size_bytes = await self.cache.find_blob_size(repository, digest)
        if isinstance(size_bytes, Refusal):
            return Answer(size_bytes.status, size_bytes.fields, size_bytes.content)
        fields = _blob_fields(digest) | {"Content-Length": str(size_bytes)}
        return Answer(200, fields)

    def choose(
        self, request: Request, digest: Digest | None = None, *, is_origin_reachable: bool = True
    ) -> Delivery:
        """How this client is to be given a blob's body; `digest` if that is what it asks for."""
        client = self._visitors.identify(request, self.now())
        # Through a tunnel of ours the blob host is reached, whatever its name resolves to.
        is_reached = request.door is Door.PROXY or self.is_blob_host_offered(request)
        circumstances = Circumstances(
            request.door,
            dialled_by_address=request.host == (self.address or request.dialled),
            is_blob_host_offered=is_reached,
            can_send_inline=self.can_send_inline,
            is_origin_reachable=is_origin_reachable,
            missed=self._missed(request, client, digest),
        )
        return choose_delivery(self.policy, client, circumstances)

    def _missed(
        self, request: Request, client: Client, digest: Digest | None
    ) -> frozenset[Delivery]:
        if request.door is Door.HTTP or not client.is_ollama:
            return frozenset()  # There is one way only, and nothing to learn.
        learning, address = self.cache.books.learning, request.client_address
        before = learning.lessons
        missed = learning.missed(address, client.version, digest, self.now())
        if learning.lessons is not before:
            _log.warning("%s at %s left its blob URL alone", request.user_agent, address)
        return missed

    def location(
        self, request: Request, delivery: Delivery, repository: Repository, digest: Digest
    ) -> str:
        """The URL of a blob on this box as `delivery` names it, with a grant for it."""
        base = self._base_url(request, delivery)
        grant = self._give(request, delivery, repository, digest)
        return f"{base}{BLOBS_PATH}{digest}?{format_grant(self.secret, grant)}"

    def _give(
        self, request: Request, delivery: Delivery, repository: Repository, digest: Digest
    ) -> Grant:
        """A grant whose parts are recognised as this client's, where they teach something."""
        learning, subject = self.cache.books.learning, None
        is_own = self.cache.books.is_own(repository)
        if _is_telling(request, delivery) and digest != _EMPTY and not is_own:
            subject = Subject(request.client_address, request.client.version, delivery)
        grant = Grant(digest, repository, int(self.now()) + GRANT_SECONDS)
        while learning.is_another_s(grant, subject):
            grant = replace(grant, expires_at=grant.expires_at + 1)
        if subject is not None:
            learning.note_given(subject, grant, self.now())
        return grant

    def explain_refusal(self, request: Request) -> str:
        """Why this client gets no blob, and the ways that work: Ollama shows it to its user."""
        ways = ["`ollama pull --insecure NAME`"]
        if self.proxy_port is not None and request.door is not Door.PROXY:
            address = self.address or request.dialled
            proxy = format_authority(address, self.proxy_port, default_port=0)
            ways.append(f"HTTPS_PROXY=http://{proxy} in the environment of the Ollama server")
        is_away = self.policy.fallback is Fallback.ORIGIN
        return (
            "over https this Ollama takes blobs from public addresses only, and this box has none "
            f"for it{'; the registry itself is out of reach' if is_away else ''}. "
            f"What works: {', or '.join(ways)}"
        )

    def _base_url(self, request: Request, delivery: Delivery) -> str:
        """Who came in the clear is sent to the port by which it came."""
        if delivery is Delivery.TLS:
            # A CONNECT is for a name and 443, wherever the TLS door itself listens.
            port = _HTTPS_PORT if request.door is Door.PROXY else self.tls_port
            return f"https://{_format_https(self.blob_host, port)}"
        if request.door is not Door.HTTP and delivery in (Delivery.LOCATION, Delivery.INLINE):
            return f"https://{_format_https(request.host, request.host_port or _HTTPS_PORT)}"
        port = (request.host_port or _HTTP_PORT) if request.door is Door.HTTP else self.port
        address = self.address or request.dialled
        if delivery is Delivery.RESPELLED:
            address = respell(address)
        return f"http://{format_authority(address, port, default_port=_HTTP_PORT)}"

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
        self.cache.books.learning.note_part(grant)
        return await self.answer_body(request, grant.repository, digest)

    async def answer_body(self, request: Request, repository: Repository, digest: Digest) -> Reply:
        """The blob's bytes, whole or the range asked for.

        Raises RangeNotSatisfiable, and Unavailable where the door cannot send them.
        """
        if request.door is not Door.HTTP and not self.can_send_inline:
            raise Unavailable("this box sends blobs over http only: see its log")
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
        opened = await self.cache.open_blob(
            repository, digest, size_bytes, served, is_patient=request.client.is_tensor
        )
        reader = self.cache.watch(request.client_address, repository, digest, opened)
        fields["Content-Length"] = str(served.size_bytes)
        fields["Cache-Status"] = format_cache_status(reader.status)
        return BlobAnswer(206 if span else 200, fields, reader)

    def _note_used(self, key: tuple[Digest, int]) -> None:
        self._used_at.pop(key, None)
        self._used_at[key] = self.now()
        if len(self._used_at) > _GRANTS_IN_USE_MAX:
            del self._used_at[next(iter(self._used_at))]


def _is_telling(request: Request, delivery: Delivery) -> bool:
    """Whether it tells something if this client fetches nothing from such a Location."""
    client = request.client
    if request.door is Door.HTTP or delivery is Delivery.INLINE:
        return False
    return client.is_ollama and not client.is_tensor and not client.follows_redirects


def _format_https(host: str, port: int) -> str:
    return format_authority(host, port, default_port=_HTTPS_PORT)


def _blob_fields(digest: Digest) -> dict[str, str]:
    return {
        "Content-Type": BLOB_TYPE,
        "Accept-Ranges": "bytes",
        "Docker-Content-Digest": str(digest),
        "ETag": f'"{digest}"',
    }
