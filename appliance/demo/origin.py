"""The scripted registry: answers as registry.ollama.ai does, down to the fields it leaves out.

Manifests come as plain text in chunks, without length, validator or digest; HEAD names the digest
in `ollama-content-digest`. Blobs are presigned URLs of the CDN. Old clients get 412 for models that
need a newer one, private models a Bearer challenge.
"""

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from appliance.demo.bodies import BlobSender
from appliance.demo.chunksums import answer_chunksums
from appliance.demo.faults import Faults, Manners
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.presign import Presigner
from appliance.demo.push import answer_push
from appliance.demo.site import Site, html_page
from appliance.demo.tokens import TokenDesk
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.errors import BlobUnknown, ManifestUnknown, Verdict
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Reference, Repository
from appliance.protocol.routes import BlobPull, ChunksumsPull, ManifestPull, parse_route

MANIFEST_FIELDS = {"Content-Type": "text/plain; charset=utf-8", "Vary": "Accept"}
TOKEN_PATH = "/token"  # noqa: S105  # A path, not a secret.
TOO_OLD = b"The model you are attempting to pull requires a newer version of Ollama."

_VERSION = re.compile(r"ollama/v?([0-9]+)\.([0-9]+)\.([0-9]+)")


class ManifestInvalid(Verdict):
    """The client accepts no type that the manifest has."""

    status, code = 404, "MANIFEST_INVALID"


@dataclass(frozen=True, slots=True)
class Published:
    """A model as the registry offers it now."""

    model: DemoModel
    version_min: tuple[int, int, int] = (0, 0, 0)
    is_private: bool = False


class Shelf:
    """What the registry holds: tags may move, blobs stay."""

    def __init__(self) -> None:
        self._by_tag: dict[tuple[Repository, str], Published] = {}
        self.blobs: dict[Digest, DemoBlob] = {}

    def publish(self, published: Published) -> None:
        """Point the model's tags at it, wherever they pointed before."""
        model = published.model
        self._by_tag |= {(model.repository, tag): published for tag in model.tags}
        self.blobs |= {each.digest: each for each in model.blobs}

    def find(self, reference: Reference) -> Published:
        """What a tag or digest names. Raises ManifestUnknown."""
        for published in self._in(reference.repository):
            if published.model.digest == reference.target:
                return published
        published_at = self._by_tag.get((reference.repository, str(reference.target)))
        if published_at is None:
            raise ManifestUnknown("manifest unknown")
        return published_at

    def find_blob(self, repository: Repository, digest: Digest) -> tuple[Published, DemoBlob]:
        """The blob under a repository that lists it. Raises BlobUnknown."""
        for published in self._in(repository):
            for blob in published.model.blobs:
                if blob.digest == digest:
                    return published, blob
        raise BlobUnknown("blob unknown to registry")

    def _in(self, repository: Repository) -> Iterator[Published]:
        return (each for (name, _), each in self._by_tag.items() if name == repository)


class Registry:
    """Answers one request after another from its shelf; blobs mostly by redirect to the CDN."""

    def __init__(
        self,
        shelf: Shelf,
        presigner: Presigner,
        sender: BlobSender,
        tokens: TokenDesk,
        faults: Faults,
        manners: Manners,
        cdn: Site,
    ) -> None:
        self._shelf = shelf
        self._presigner = presigner
        self._sender = sender
        self._tokens = tokens
        self._faults = faults
        self._manners = manners
        self._cdn = cdn

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if self._faults.is_portal:
            return html_page()
        try:
            return await self._answer(request)
        except Verdict as verdict:
            return web.Response(
                status=verdict.status, body=verdict.body(), headers=verdict.fields()
            )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path.startswith(TOKEN_PATH + "?"):
            return self._tokens.answer(request)
        route = parse_route(request.method, request.raw_path)
        if isinstance(route, ManifestPull):
            return await self._answer_manifest(request, route.reference)
        if isinstance(route, BlobPull):
            return await self._answer_blob(request, route)
        if isinstance(route, ChunksumsPull):
            return self._answer_chunksums(request, route)
        if request.method not in ("GET", "HEAD"):
            pushed = answer_push(request, base_url=self._tokens.base_url, cdn_url=self._cdn.url)
            return self._tokens.challenge(request) or pushed
        return web.Response(status=404, text="404 page not found\n")

    async def _answer_manifest(
        self, request: web.BaseRequest, reference: Reference
    ) -> web.StreamResponse:
        if self._faults.manifest_status is not None:
            return web.Response(status=self._faults.manifest_status, text="scripted fault")
        if request.method == "HEAD" and not self._manners.answers_manifest_head:
            return web.Response(status=405)
        published = self._shelf.find(reference)
        refused = self._refused(request, published)
        if refused is not None:
            return refused
        if not _accepts_manifest(request.headers.get("Accept", "*/*")):
            raise ManifestInvalid("manifest invalid")
        if request.method == "HEAD":
            return _manifest_head(published.model.manifest)
        return await self._send_manifest(request, published.model.manifest)

    def _refused(self, request: web.BaseRequest, published: Published) -> web.Response | None:
        if published.is_private:
            challenge = self._tokens.challenge(request)
            if challenge is not None:
                return challenge
        version = _VERSION.match(request.headers.get("User-Agent", ""))
        if version and tuple(int(each) for each in version.groups()) < published.version_min:
            return web.Response(status=412, body=TOO_OLD)
        return None

    async def _send_manifest(self, request: web.BaseRequest, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers=MANIFEST_FIELDS)
        if self._manners.gzips_manifests and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.headers["Content-Encoding"] = "gzip"
            content = gzip.compress(content)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(content)
        return response

    def _answer_chunksums(self, request: web.BaseRequest, pull: ChunksumsPull) -> web.Response:
        published, blob = self._shelf.find_blob(pull.repository, pull.digest)
        target = self._presigner.sign(self._cdn.authority, blob.digest)
        refused = self._refused(request, published)
        return refused or answer_chunksums(blob, self._cdn.url + target)

    async def _answer_blob(self, request: web.BaseRequest, pull: BlobPull) -> web.StreamResponse:
        if self._faults.blob_status is not None:
            return web.Response(status=self._faults.blob_status, text="scripted fault")
        published, blob = self._shelf.find_blob(pull.repository, pull.digest)
        if published.is_private:
            challenge = self._tokens.challenge(request)
            if challenge is not None:
                return challenge
        if self._manners.sends_blobs_itself:
            return await self._sender.send(request, blob)
        if request.method == "HEAD" and not self._manners.redirects_blob_head:
            return web.Response(headers={"Content-Length": str(blob.size_bytes)})
        target = self._presigner.sign(self._cdn.authority, blob.digest)
        return web.Response(status=307, headers={"Location": self._cdn.url + target})


def _accepts_manifest(accept: str) -> bool:
    return MANIFEST_TYPE in accept or "*/*" in accept


def _manifest_head(content: bytes) -> web.Response:
    digest = digest_of(content).encoded
    return web.Response(headers=MANIFEST_FIELDS | {"ollama-content-digest": digest})
