"""The side server's routes, as one list, and who may ask."""

from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from appliance.protocol.errors import Denied
from appliance.web.clear import ClearDoor
from appliance.web.facts import Facts
from appliance.web.page import Page
from appliance.web.views import Views


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
        if not is_allowed(request.remote or ""):
            verdict = Denied("this box serves its own network: see access.allow")
            return web.Response(
                status=verdict.status, body=verdict.body(), headers=verdict.fields()
            )
        return await handler(request)

    return gate
