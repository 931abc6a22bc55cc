"""Ollama's own API, as far as a box that caches models and runs none can speak it.

So `OLLAMA_HOST=BOX:80 ollama list` lists what is held, and `ollama pull` fetches a model for
everybody. Names, types and errors are those of Ollama's docs/api.md.
"""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.policy.roles import DEEDS
from appliance.protocol.digest import Digest
from appliance.protocol.errors import NameInvalid
from appliance.protocol.manifest import Manifest
from appliance.protocol.reference import NAMESPACE_DEFAULT, Reference, parse_model_name
from appliance.store.models import ModelRow
from appliance.web.deeds import DeedRefusedError, Deeds
from appliance.web.details import describe_details, describe_shown, find_config, find_shown
from appliance.web.facts import Facts
from appliance.web.forms import read_document
from appliance.web.models import format_instant
from appliance.web.routes import Field, Route

DETAILS_KEPT_MAX = 10_000  # Some hundred bytes each; a manifest's never change.
NO_MODEL_RUNS = "this box caches models and runs none: point OLLAMA_HOST at your own Ollama"
NO_MODEL_IS_MADE = "this box caches what the registry has: make models with your own Ollama"

_IN_VAIN = {
    **dict.fromkeys(("generate", "chat", "embed", "embeddings"), NO_MODEL_RUNS),
    **dict.fromkeys(("create", "copy", "push"), NO_MODEL_IS_MADE),
}


MODEL = Field("model", "its name; `name` will do", is_needed=True)


class Ollama:
    """The handlers, but for `pull` (pulling.py)."""

    def __init__(self, facts: Facts, deeds: Deeds) -> None:
        self._facts = facts
        self._deeds = deeds
        self._contents = facts.cache.contents
        self._details: dict[Digest, dict[str, Any]] = {}

    def routes(self) -> Iterator[Route]:
        yield Route("GET", "/api/tags", self.tags, "Ollama's: the models held, whole")
        yield Route("GET", "/api/version", self.version, "Ollama's: this box's version")
        yield Route("GET", "/api/ps", self.running, "Ollama's: the models that run, none")
        what = "Ollama's: what `model` is"
        yield Route("POST", "/api/show", self.show, what, is_for_programs=True, body=(MODEL,))
        what = "Ollama's: let go of `model`"
        yield Route("DELETE", "/api/delete", self.delete, what, DEEDS["rm"], body=(MODEL,))
        for name in _IN_VAIN:
            what = "Ollama's: refused, with what to do instead"
            yield Route("POST", f"/api/{name}", self.refuse, what, is_for_programs=True, gives="")

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": self._facts.version})

    async def running(self, request: web.Request) -> web.Response:
        return web.json_response({"models": []})

    async def tags(self, request: web.Request) -> web.Response:
        rows = await asyncio.to_thread(self._facts.cache.books.models)
        whole = [row for row in rows if row.is_complete]
        return web.json_response({"models": [await self._describe(row) for row in whole]})

    async def show(self, request: web.Request) -> web.Response:
        try:
            reference = read_reference(await read_document(request), self._facts.registry_name)
        except (ValueError, NameInvalid):
            return refuse_name()
        rows = await asyncio.to_thread(self._facts.cache.books.models)
        row = next((each for each in rows if each.reference == reference), None)
        manifest = await self._contents.parse_manifest(row.digest) if row else None
        if row is None or manifest is None:
            return refuse_absent(reference)
        config = await self._read_config(manifest)
        layers = {
            kind: content
            for kind, layer in find_shown(manifest).items()
            if (content := await self._contents.read_blob(layer.digest)) is not None
        }
        shown = describe_shown(format_name(reference), config, layers)
        return web.json_response({**shown, "modified_at": format_instant(row.stored_at)})

    async def delete(self, request: web.Request) -> web.Response:
        try:
            reference = read_reference(await read_document(request), self._facts.registry_name)
        except (ValueError, NameInvalid):
            return refuse_name()
        try:
            await self._deeds.carry_out("rm", {"model": format_name(reference)}, request)
        except DeedRefusedError as fault:
            rows = await asyncio.to_thread(self._facts.cache.books.models)
            if all(row.reference != reference for row in rows):
                return refuse_absent(reference)
            return refuse(HTTPStatus.CONFLICT, f"{fault}; {fault.hint}")
        return web.Response()

    async def refuse(self, request: web.Request) -> web.Response:
        return refuse(HTTPStatus.BAD_REQUEST, _IN_VAIN[request.path.removeprefix("/api/")])

    async def _describe(self, row: ModelRow) -> dict[str, Any]:
        name = format_name(row.reference)
        return {
            "name": name,
            "model": name,
            "modified_at": format_instant(row.stored_at),
            "size": row.total_size_bytes,
            "digest": row.digest.encoded,
            "details": await self._find_details(row.digest),
        }

    async def _find_details(self, digest: Digest) -> dict[str, Any]:
        if digest in self._details:
            return self._details[digest]
        manifest = await self._contents.parse_manifest(digest)
        config = await self._read_config(manifest) if manifest else None
        details = describe_details(config)
        if config is not None and len(self._details) < DETAILS_KEPT_MAX:
            self._details[digest] = details
        return details

    async def _read_config(self, manifest: Manifest) -> bytes | None:
        found = find_config(manifest)
        return await self._contents.read_blob(found.digest) if found else None


def read_reference(wish: dict[str, Any], registry_name: str) -> Reference:
    """The model that a request's document names, under either key. Raises NameInvalid."""
    name = wish.get("model") or wish.get("name")
    if not isinstance(name, str):
        raise NameInvalid("no name")
    return parse_model_name(name.removeprefix(f"{registry_name}/"))


def format_name(reference: Reference) -> str:
    """As `ollama list` names it: the library goes unsaid, the tag never."""
    repository = reference.repository
    is_library = repository.namespace == NAMESPACE_DEFAULT
    return f"{repository.model if is_library else repository}:{reference.target}"


def refuse_name() -> web.Response:
    """What Ollama says of a name outside its grammar."""
    return refuse(HTTPStatus.BAD_REQUEST, "invalid model name")


def refuse_absent(reference: Reference) -> web.Response:
    """What Ollama says of a model that is not there."""
    error = f"model '{format_name(reference)}' not found"
    return refuse(HTTPStatus.NOT_FOUND, error)


def refuse(status: HTTPStatus, error: str) -> web.Response:
    """An error in the form that Ollama's client shows."""
    return web.json_response({"error": error}, status=status)
