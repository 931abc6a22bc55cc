"""The API described by its own route table: as OpenAPI 3.1, and for people as docs/API.md."""

import re
import sys
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from appliance.policy.roles import Role
from appliance.web.routes import BYTES, JSON, Field, Route

PATH = "/api/openapi.json"

_VARIABLE = re.compile(r"\{(\w+)(?::[^{}]*(?:\{[^{}]*\}[^{}]*)*)?\}")
_WORD = re.compile(r"[A-Za-z0-9]+")
_ANY = "*"
_FORM = "application/x-www-form-urlencoded"
_REFUSAL = {"$ref": "#/components/responses/Refusal"}


class OpenApi:
    """Serves the description of a table that it is part of."""

    def __init__(self, version: str) -> None:
        self._version = version
        self.routes: tuple[Route, ...] = ()

    def route(self) -> Route:
        return Route("GET", PATH, self.show, "this API, as an OpenAPI 3.1 document")

    async def show(self, request: web.Request) -> web.Response:
        return web.json_response(describe_api(self.routes, self._version))


def describe_api(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The document. Paths are the box's own: the one server is wherever it was fetched from."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        method = "get" if route.method == _ANY else route.method.lower()
        paths.setdefault(_VARIABLE.sub(r"{\1}", route.path), {})[method] = _describe(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ollama LAN appliance",
            "version": version,
            "description": "Whatever a GET answers, a HEAD answers without its body.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": _COMPONENTS,
    }


def _describe(route: Route) -> dict[str, Any]:
    method = "get" if route.method == _ANY else route.method.lower()
    operation: dict[str, Any] = {
        "operationId": "_".join((method, *_WORD.findall(_VARIABLE.sub(r"\1", route.path)))),
        "summary": route.doc,
        "responses": {**_describe_success(route), "default": _REFUSAL},
    }
    path_variables = [_describe_variable(name) for name in _VARIABLE.findall(route.path)]
    parameters = [*path_variables, *map(_describe_query, route.query)]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = _describe_body(route)
    if route.needs is not Role.ANYONE:
        operation["security"] = [{"token": []}, {"session": []}]
        operation["x-role"] = route.needs.name.lower()
    return operation


def _describe_success(route: Route) -> dict[str, Any]:
    if not route.gives:
        return {}
    schema = {} if route.gives != BYTES else {"type": "string", "format": "binary"}
    return {"200": {"description": route.doc, "content": {route.gives: {"schema": schema}}}}


def _describe_variable(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _describe_query(field: Field) -> dict[str, Any]:
    schema = {"type": field.kind}
    return {"name": field.name, "in": "query", "description": field.doc, "schema": schema}


def _describe_body(route: Route) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {
            each.name: {"type": each.kind, "description": each.doc} for each in route.body
        },
        "required": [each.name for each in route.body if each.is_needed],
    }
    media_type = _FORM if route.path == "/login" else JSON
    return {"content": {media_type: {"schema": schema}}}


_COMPONENTS = {
    "responses": {
        "Refusal": {
            "description": "what is wrong, and where there is one, a hint what to do",
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Refusal"}}},
        }
    },
    "schemas": {
        "Refusal": {
            "type": "object",
            "properties": {
                "error": {"type": "string"},
                "hint": {"type": "string"},
                "errors": {
                    "type": "array",
                    "description": "under /v2 and /blobs, as the OCI distribution-spec says it",
                    "items": {"type": "object"},
                },
            },
        }
    },
    "securitySchemes": {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "session": {"type": "apiKey", "in": "cookie", "name": "ollama-appliance"},
    },
}


def format_reference(routes: Iterable[Route]) -> str:
    """docs/API.md."""
    lines = [
        "# API",
        "",
        "Every route of `http://BOX`. This table is printed by `python -m appliance.web.openapi`; "
        f"the same as OpenAPI 3.1 is at `{PATH}`.",
        "A GET answers HEAD too. Where a role is named, send a token "
        "(`Authorization: Bearer TOKEN`) or log in; a change from a page must come from the box's "
        "own.",
        "",
        "| route | what | says more by | role | answers |",
        "| --- | --- | --- | --- | --- |",
        *map(_format_row, routes),
    ]
    return "\n".join(lines) + "\n"


def _format_row(route: Route) -> str:
    method = "GET" if route.method == _ANY else route.method
    queries = [f"`?{each.name}=` {each.doc}" for each in route.query]
    wishes = [f"`{each.name}`{'' if each.is_needed else '?'} {each.doc}" for each in route.body]
    role = "" if route.needs is Role.ANYONE else route.needs.name.lower()
    path = _VARIABLE.sub(r"{\1}", route.path)
    said = "; ".join((*queries, *wishes))
    return f"| `{method} {path}` | {route.doc} | {said} | {role} | {route.gives or '400'} |"


def main() -> None:
    """Print docs/API.md."""
    from appliance.web.app import make_table  # It serves this module's document.

    sys.stdout.write(format_reference(make_table()))


if __name__ == "__main__":
    main()
