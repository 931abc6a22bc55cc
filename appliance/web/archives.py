"""A model as one tar file that unpacks into Ollama's own store; and manifests, as they came.

The archive is never built: its layout follows from the sizes in the manifest, headers are made as
they are sent, and blobs leave as they leave to any client. So a download resumes at any byte.
"""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

from aiohttp import web

from appliance.delivery.pump import Pumps
from appliance.protocol.archive import Archive, Member, Part, lay_out
from appliance.protocol.digest import Digest
from appliance.protocol.errors import NameInvalid, RangeNotSatisfiable, Verdict
from appliance.protocol.manifest import parse_manifest
from appliance.protocol.ranges import Span, format_content_range, parse_range
from appliance.protocol.reference import (
    NAMESPACE_DEFAULT,
    Reference,
    Repository,
    format_model_name,
)
from appliance.registry.bodies import send_body
from appliance.store.models import ModelRow
from appliance.web.access import refuse
from appliance.web.blobs import ClearExit
from appliance.web.facts import Facts
from appliance.web.routes import Route

TAR_TYPE = "application/x-tar"
MANIFEST_ANSWER_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


class Archives:
    """The handlers."""

    def __init__(self, facts: Facts, pumps: Pumps) -> None:
        self._facts = facts
        self._cache = facts.cache
        self._pumps = pumps

    def routes(self) -> Iterator[Route]:
        model, what = "{model:[^/:]+}:{tag:[^/:]+}", "a model in Ollama's own layout; takes a range"
        for path in (f"/models/{model}", f"/models/{{namespace:[^/:]+}}/{model}"):
            yield Route("GET", path, self.archive, what, gives=TAR_TYPE)
        path, what = "/manifests/{namespace}/{model}/{tag}", "a model's exact manifest"
        yield Route("GET", path, self.manifest, what, gives=MANIFEST_ANSWER_TYPE)

    async def manifest(self, request: web.Request) -> web.Response:
        row = await self._find(request)
        content = await self._cache.contents.read_manifest(row.digest) if row else None
        if row is None or content is None:
            return _refuse_absent()
        fields = {"Docker-Content-Digest": str(row.digest), "ETag": f'"{row.digest}"'}
        media_type = parse_manifest(content).media_type
        return web.Response(body=content, content_type=media_type, headers=fields)

    async def archive(self, request: web.Request) -> web.StreamResponse:
        row = await self._find(request)
        content = await self._cache.contents.read_manifest(row.digest) if row else None
        if row is None or content is None:
            return _refuse_absent()
        if not row.is_complete:
            return _refuse_incomplete(row)
        archive = lay_out(self._list_members(row, content), int(row.stored_at))
        etag = f'"{row.digest.encoded}-{int(row.stored_at)}"'
        try:
            span = _read_range(request, etag, archive.size_bytes)
        except RangeNotSatisfiable as verdict:
            return _answer(verdict)
        fields = _format_fields(row.reference, etag, archive, span)
        status = HTTPStatus.OK if span is None else HTTPStatus.PARTIAL_CONTENT
        response = web.StreamResponse(status=status, headers=fields)
        if request.method == "HEAD":
            return response
        self._cache.note_given(request.remote or "", row.reference, row.digest)
        parts = archive.parts(span or Span(0, archive.size_bytes))
        return await self._send(request, response, row.reference.repository, parts)

    async def _find(self, request: web.Request) -> ModelRow | None:
        said = request.match_info
        try:
            repository = Repository(said.get("namespace", NAMESPACE_DEFAULT), said["model"])
            reference = Reference(repository, said["tag"])
        except NameInvalid:
            return None
        rows = await asyncio.to_thread(self._cache.books.models)
        return next((each for each in rows if each.reference == reference), None)

    def _list_members(self, row: ModelRow, content: bytes) -> Iterator[Member]:
        """Blobs, and the manifest last: who unpacks a part of it has no broken model."""
        blobs = {each.digest: each.size_bytes for each in parse_manifest(content).descriptors}
        for digest, size_bytes in blobs.items():
            yield Member(f"blobs/sha256-{digest.encoded}", digest, size_bytes)
        repository, tag = row.reference.repository, row.reference.target
        name = f"manifests/{self._facts.registry_name}/{repository}/{tag}"
        yield Member(name, content, len(content))

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        repository: Repository,
        parts: Iterator[Part],
    ) -> web.StreamResponse:
        """Send the parts; trouble on the way ends the connection short of Content-Length."""
        try:
            writer = await response.prepare(request)
            assert writer is not None, "a response is prepared once"
            way_out = ClearExit(request, response, writer, self._pumps)
            for part in parts:
                if not await self._send_part(request, way_out, repository, part):
                    request.protocol.force_close()
                    return response
            await response.write_eof()
        except (ConnectionError, Verdict):  # The client is gone, or a blob: no more will come.
            request.protocol.force_close()
        return response

    async def _send_part(
        self, request: web.Request, way_out: ClearExit, repository: Repository, part: Part
    ) -> bool:
        if not isinstance(part.content, Digest):
            await way_out.write(part.content[part.span.start : part.span.stop])
            return True
        digest, cache = part.content, self._cache
        opened = await cache.open_blob(repository, digest, part.size_bytes, part.span)
        reader = cache.watch(request.remote or "", repository, digest, opened)
        try:
            return await send_body(reader, way_out)
        finally:
            reader.close()


def _read_range(request: web.Request, etag: str, size_bytes: int) -> Span | None:
    """The span asked for; None for all of it. Raises RangeNotSatisfiable."""
    field = request.headers.get("Range")
    if field is None or request.method != "GET" or request.headers.get("If-Range", etag) != etag:
        return None
    return parse_range(field, size_bytes)


def _format_fields(
    reference: Reference, etag: str, archive: Archive, span: Span | None
) -> dict[str, str]:
    repository = reference.repository
    file_name = f"{repository.namespace}-{repository.model}-{reference.target}.tar"
    fields = {
        "Content-Type": TAR_TYPE,
        "Content-Length": str((span or Span(0, archive.size_bytes)).size_bytes),
        "Content-Disposition": f'attachment; filename="{file_name}"',
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
    if span is not None:
        fields["Content-Range"] = format_content_range(span, archive.size_bytes)
    return fields


def _answer(verdict: Verdict) -> web.Response:
    return web.Response(status=verdict.status, body=verdict.body(), headers=verdict.fields())


def _refuse_absent() -> web.Response:
    hint = "see what is: /api/models; fetch it: OLLAMA_HOST=BOX:80 ollama pull NAME"
    return refuse(HTTPStatus.NOT_FOUND, "no such model is held", hint)


def _refuse_incomplete(row: ModelRow) -> web.Response:
    error = f"{row.held_size_bytes} of {row.total_size_bytes} bytes are here"
    hint = f"fetch the rest: OLLAMA_HOST=BOX:80 ollama pull {format_model_name(row.reference)}"
    return refuse(HTTPStatus.CONFLICT, error, hint)
