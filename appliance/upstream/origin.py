"""The real registry and its CDN, asked anonymously and read with suspicion.

Theory of operation. Redirects are followed by hand: the registry answers a blob with a presigned
URL on its CDN, and a presigned URL is signed byte for byte, so it is dialled exactly as it came
(`encoded=True`) and never logged. It is remembered until it fails (403: expired), then asked for
anew. A registry that sends blobs itself simply never redirects. A body is used
only if it is what was asked for: the status, the range it says it carries, and its length.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
from yarl import URL

from appliance.protocol.chunksums import CHUNKSUMS_SIZE_BYTES_MAX
from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import DigestInvalid
from appliance.protocol.fields import format_via
from appliance.protocol.manifest import MANIFEST_SIZE_BYTES_MAX
from appliance.protocol.ranges import Span, format_range, parse_content_range
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.dialling import Dialling, join_location
from appliance.upstream.receiving import receive_body
from appliance.upstream.source import (
    Chunk,
    FetchedManifest,
    ManifestRequest,
    OriginMisbehavedError,
    OriginUnreachableError,
    Refusal,
)
from appliance.upstream.troubles import TROUBLE, describe_trouble, is_misdated

REDIRECTS_MAX = 5  # The registry needs one; Go's client follows ten.
BLOB_HEAD_SECONDS = 20.0  # Ollama gives the step that waits for this thirty.
CHUNKSUMS_SECONDS = 5.0  # Then the box makes them itself: nobody needs to wait for better ones.
RETRY_AFTER_SECONDS_MAX = 3600.0  # More is a date or nonsense.
PRESIGNED_URLS_MAX = 4096  # A few hundred bytes each; forgetting one costs one request.
# What of a refusal a client acts on; the rest is between us and the origin.
_REFUSAL_FIELDS = (
    "Content-Type",
    "Content-Encoding",
    "WWW-Authenticate",
    "Retry-After",
    "Docker-Distribution-API-Version",
)
_UNSENDABLE = re.compile(r"[^\t -~]")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXPIRED = frozenset({401, 403, 404, 410})


class Origin:
    """A Source over HTTP. Use with `async with`; it owns its connections."""

    def __init__(self, url: str, dialling: Dialling, *, via: str, user_agent: str) -> None:
        self._url = URL(url)
        self._dialling = dialling
        self._fields = {"Via": format_via(via), "Accept-Encoding": "identity"}
        self._user_agent = user_agent
        self._presigned: dict[Digest, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self.trouble: OriginUnreachableError | None = None
        """What the last request came to; None when it was answered."""
        self.is_reached = False
        """Whether any request was ever answered."""
        self.is_misdated = False
        """Whether its certificate, when last seen, was not of today by our clock."""
        self._told: tuple[float, float] | None = None

    @property
    def time(self) -> float | None:
        """What the origin's clock says now, in seconds since the epoch; None if it never said."""
        return None if self._told is None else self._told[0] + time.monotonic() - self._told[1]

    async def __aenter__(self) -> "Origin":
        self._session = self._dialling.open_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def fetch_manifest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> FetchedManifest | Refusal:
        path = _manifest_path(reference)
        async with self._request("GET", path, request, timeout_seconds) as reply:
            if reply.status != HTTPStatus.OK:
                return await _read_refusal(reply)
            _check_identity(reply)
            content = await _read_bounded(reply, MANIFEST_SIZE_BYTES_MAX)
            return FetchedManifest(content, reply.headers.get("Content-Type", ""))

    async def fetch_manifest_digest(
        self, reference: Reference, request: ManifestRequest, *, timeout_seconds: float
    ) -> Digest | None:
        path = _manifest_path(reference)
        async with self._request("HEAD", path, request, timeout_seconds) as reply:
            if reply.status != HTTPStatus.OK:
                return None
            fields = reply.headers
            text = fields.get("ollama-content-digest", fields.get("Docker-Content-Digest", ""))
            try:
                return parse_digest(text if ":" in text else f"sha256:{text}")
            except DigestInvalid:
                return None

    async def fetch_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        path = _blob_path(repository, digest)
        request = ManifestRequest(accept="*/*", user_agent=self._user_agent)
        async with self._request("HEAD", path, request, BLOB_HEAD_SECONDS) as reply:
            if reply.status != HTTPStatus.OK:
                return await _read_refusal(reply)
            if reply.content_length is None:
                raise OriginMisbehavedError(f"the origin does not say how long {digest} is")
            return reply.content_length

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        path = f"/v2/{repository}/chunksums/{digest}"
        request = ManifestRequest(accept="*/*", user_agent=self._user_agent)
        async with self._request("GET", path, request, CHUNKSUMS_SECONDS) as reply:
            if reply.status != HTTPStatus.OK:
                return await _read_refusal(reply)
            _check_identity(reply)
            return await _read_bounded(reply, CHUNKSUMS_SIZE_BYTES_MAX)

    @asynccontextmanager
    async def open_span(
        self, repository: Repository, digest: Digest, span: Span, size_bytes: int
    ) -> AsyncIterator[AsyncIterator[Chunk]]:
        fields = self._fields | {"Range": format_range(span), "User-Agent": self._user_agent}
        async with AsyncExitStack() as held:
            with self._watching():
                reply = await self._open_blob(held, repository, digest, fields)
                _check_carries(reply, span, size_bytes)
            # Out here, so that a fault of the caller's own is not taken for the origin's.
            yield await held.enter_async_context(aclosing(self._read_span(reply, span)))

    async def _open_blob(
        self, held: AsyncExitStack, repository: Repository, digest: Digest, fields: dict[str, str]
    ) -> aiohttp.ClientResponse:
        """A reply that `held` closes: from the CDN's URL if one is known and good, else anew."""
        presigned = self._presigned.pop(digest, None)
        if presigned is not None:
            reply = await held.enter_async_context(self._follow("GET", presigned, fields))
            if reply.status not in _EXPIRED:
                self._remember(digest, presigned)
                return reply
            await held.aclose()
        url = self._url.with_path(_blob_path(repository, digest), encoded=True)
        return await held.enter_async_context(
            self._follow("GET", url, fields, presigned_for=digest)
        )

    async def _read_span(
        self, reply: aiohttp.ClientResponse, span: Span
    ) -> AsyncGenerator[Chunk, None]:
        """The bytes of `span`. Raises OriginUnreachableError where the body ends early."""
        left = span.size_bytes
        with self._watching():
            async with aclosing(receive_body(reply)) as chunks:
                async for chunk in chunks:
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        return
            raise OriginUnreachableError(f"the origin's body ends {left} bytes early")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, request: ManifestRequest, timeout_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A small request: redirects followed, 5xx a fault, all within `timeout_seconds`."""
        fields = self._fields | _sendable(request)
        url = self._url.with_path(path, encoded=True)
        with self._watching():
            async with asyncio.timeout(timeout_seconds), self._follow(method, url, fields) as reply:
                _check_available(reply)
                yield reply

    @contextmanager
    def _watching(self) -> Iterator[None]:
        """Keep what goes wrong as `trouble`, said without the URL: it may be presigned."""
        try:
            yield
        except OriginUnreachableError as error:
            self.trouble = error
            raise
        except TROUBLE as error:
            self.trouble = describe_trouble(error)
            self.is_misdated = is_misdated(error)
            raise self.trouble from None

    @asynccontextmanager
    async def _follow(
        self,
        method: str,
        url: URL,
        fields: dict[str, str],
        *,
        presigned_for: Digest | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and follow its redirects; the last reply is the one that is none."""
        assert self._session is not None, "use the origin with `async with`"
        secure = self._url.scheme == "https"
        for _ in range(REDIRECTS_MAX + 1):
            await self._dialling.check_url(url, secure=secure)
            async with self._session.request(
                method, url, headers=fields, allow_redirects=False
            ) as reply:
                location = reply.headers.get("Location")
                if reply.status not in _REDIRECTS or location is None:
                    self.trouble, self.is_reached = None, True
                    self._note_time(url, reply)
                    if presigned_for is not None and url.host != self._url.host:
                        self._remember(presigned_for, url)
                    yield reply
                    return
            url = join_location(url, location)
        raise OriginMisbehavedError(f"the origin redirects more than {REDIRECTS_MAX} times")

    def _note_time(self, url: URL, reply: aiohttp.ClientResponse) -> None:
        """Believe the Date of an answer (RFC 9110 §6.6.1) where TLS shows whose it is."""
        if url.scheme != "https":
            return
        self.is_misdated = False
        with suppress(TypeError, ValueError, OverflowError):
            told = parsedate_to_datetime(reply.headers.get("Date", "")).timestamp()
            self._told = (told, time.monotonic())

    def _remember(self, digest: Digest, url: URL) -> None:
        if len(self._presigned) >= PRESIGNED_URLS_MAX:
            self._presigned.pop(next(iter(self._presigned)))
        self._presigned[digest] = url


def _manifest_path(reference: Reference) -> str:
    return f"/v2/{reference.repository}/manifests/{reference.target}"


def _blob_path(repository: Repository, digest: Digest) -> str:
    return f"/v2/{repository}/blobs/{digest}"


def _sendable(request: ManifestRequest) -> dict[str, str]:
    """The client's own fields, but for those it did not send, in characters that can be sent."""
    fields = {"Accept": request.accept, "User-Agent": request.user_agent}
    return {name: _UNSENDABLE.sub("?", text) for name, text in fields.items() if text}


def _check_identity(reply: aiohttp.ClientResponse) -> None:
    if reply.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise OriginMisbehavedError("the origin encodes what was to come as it is")


def _check_carries(reply: aiohttp.ClientResponse, span: Span, size_bytes: int) -> None:
    _check_available(reply)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:  # A manifest's 429 is its client's to read.
        raise _unavailable(reply)
    _check_identity(reply)
    if reply.status == HTTPStatus.PARTIAL_CONTENT:
        carried = parse_content_range(reply.headers.get("Content-Range", ""))
        if carried is None or carried[0] != span or carried[1] not in (None, size_bytes):
            raise OriginMisbehavedError("the origin answers another range than was asked for")
    elif reply.status != HTTPStatus.OK or span.start > 0:
        raise OriginMisbehavedError(f"the origin answers a blob with status {reply.status}")
    elif reply.content_length != size_bytes:
        raise OriginMisbehavedError("the origin's blob has another size than its manifest says")


def _check_available(reply: aiohttp.ClientResponse) -> None:
    if reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _unavailable(reply)


def _unavailable(reply: aiohttp.ClientResponse) -> OriginUnreachableError:
    return OriginUnreachableError(
        f"the origin answers {reply.status}", retry_after_seconds=_retry_after(reply)
    )


def _retry_after(reply: aiohttp.ClientResponse) -> float | None:
    text = reply.headers.get("Retry-After", "")
    if not (text.isascii() and text.isdigit()):
        return None
    return min(float(text), RETRY_AFTER_SECONDS_MAX)


async def _read_refusal(reply: aiohttp.ClientResponse) -> Refusal:
    if not HTTPStatus.BAD_REQUEST <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise OriginMisbehavedError(f"the origin answers with status {reply.status}")
    found = ((name, reply.headers.getall(name, ())) for name in _REFUSAL_FIELDS)
    fields = {name: ", ".join(values) for name, values in found if values}
    return Refusal(reply.status, fields, await _read_bounded(reply, MANIFEST_SIZE_BYTES_MAX))


async def _read_bounded(reply: aiohttp.ClientResponse, size_bytes_max: int) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > size_bytes_max:
            raise OriginMisbehavedError(f"the origin's answer has more than {size_bytes_max} bytes")
    return bytes(content)
