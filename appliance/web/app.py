"""The side server's routes, as one list, and who may ask."""

import logging
from collections.abc import Callable

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from appliance.protocol.errors import Denied, Unavailable, Verdict
from appliance.web.clear import ClearDoor
from appliance.web.facts import Facts
from appliance.web.page import Page
from appliance.web.views import Views

_log = logging.getLogger("web")


def make_app(facts: Facts, clear: ClearDoor, is_allowed: Callable[[str], bool]) -> web.Application:
    """Put the routes together. `is_allowed` tells whether an address may use the box."""
    views = Views(facts)
    page = Page(facts, views)
    app = web.Application(client_max_size=1, middlewares=[_make_gate(is_allowed)])
    app.router.add_get("/", page.show)
    app.router.add_get("/box.css", page.style)
    app.router.add_get("/health", views.health)
    app.router.add_get("/api/info", views.info)
    app.router.add_get("/api/models", views.models)
    app.router.add_get("/cache/stats", views.stats)
    app.router.add_get("/ca.pem", views.ca)
    app.router.add_route("*", "/v2", clear.answer)
    app.router.add_route("*", "/v2/{rest:.*}", clear.answer)
    app.router.add_route("*", "/blobs/{rest:.*}", clear.answer)
    return app


def _make_gate(is_allowed: Callable[[str], bool]) -> Middleware:
    @web.middleware
    async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.version not in (HttpVersion10, HttpVersion11):
            request.protocol.force_close()  # aiohttp would answer in a version that it cannot.
            raise ConnectionResetError("neither HTTP/1.0 nor HTTP/1.1")
        if not is_allowed(request.remote or ""):
            return _refuse(Denied("this box serves its own network: see access.allow"))
        try:
            return await handler(request)
        except (web.HTTPException, ConnectionError):
            raise  # An answer, and a client that is gone.
        except Exception:  # noqa: BLE001  # The last door: it is logged, and never shown.
            _log.exception("%s %s failed", request.method, request.path)
            if request.writer.output_size:
                raise ConnectionResetError("too late for another answer") from None
            return _refuse(Unavailable("this box failed at this request: see its log"))

    return gate


def _refuse(verdict: Verdict) -> web.Response:
    return web.Response(status=verdict.status, body=verdict.body(), headers=verdict.fields())
