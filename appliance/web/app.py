"""The side server's routes, as one list, and who may ask."""

import logging
from dataclasses import dataclass
from functools import partial

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler

from appliance.policy.roles import Role
from appliance.protocol.errors import RequestInvalid, Unavailable, Verdict
from appliance.web.access import Access
from appliance.web.authority import Authority
from appliance.web.clear import ClearDoor
from appliance.web.deeds import Deeds
from appliance.web.events import Events
from appliance.web.facts import Facts
from appliance.web.live import Live
from appliance.web.login import Login
from appliance.web.metrics import Metrics
from appliance.web.ollama import Ollama
from appliance.web.onboarding import Onboarding
from appliance.web.page import Page
from appliance.web.pulling import Pulling
from appliance.web.routes import Route
from appliance.web.views import Views

BODY_SIZE_BYTES_MAX = 64 * 1024  # A form, or a wish of a few words.

_log = logging.getLogger("web")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the side server is made of."""

    facts: Facts
    clear: ClearDoor
    access: Access
    login: Login
    deeds: Deeds
    metrics: Metrics


def make_app(parts: Parts) -> web.Application:
    """Put the routes together."""
    app = web.Application(client_max_size=BODY_SIZE_BYTES_MAX, middlewares=[_gate])
    events = make_events(parts.facts)
    app.on_shutdown.append(events.close)
    for route in make_routes(parts, events):
        add = app.router.add_get if route.method == "GET" else partial(_add, app, route.method)
        add(route.path, parts.access.guard(route))
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    app.router.add_route(method, path, handler)


def make_events(facts: Facts) -> Events:
    """What is told to who watches; the application closes it."""
    return Events(Live(facts, Views(facts)))


def make_routes(parts: Parts, events: Events) -> tuple[Route, ...]:
    """Every route there is, in the order in which they are tried."""
    views = Views(parts.facts)
    page = Page(parts.facts, views, events.live, parts.access, parts.login)
    authority = Authority(parts.facts)
    onboarding = Onboarding(parts.facts, views)
    clear = parts.clear.answer
    return (
        Route("GET", "/", page.show, "the page"),
        Route("GET", "/box.css", page.style, "its style sheet"),
        Route("GET", "/box.js", page.script, "what keeps it up to date"),
        Route("GET", "/icon.svg", page.icon, "its icon"),
        Route("GET", "/check", views.check, "which box answers by the registry's name"),
        Route("GET", "/health", views.health, "whether clients can use the box, and each check"),
        Route("GET", "/health/live", views.live, "that the box runs"),
        Route("GET", "/health/ready", views.ready, "whether clients may be sent here"),
        Route("GET", "/api/info", views.info, "the box"),
        Route("GET", "/api/models", views.models, "what it holds; ?q= &limit="),
        Route("GET", "/api/sessions", views.sessions, "who pulls what, and lately pulled"),
        Route("GET", "/api/events", events.watch, "everything the page shows live, as events"),
        Route("GET", "/api/clients", views.clients, "what each machine was given", Role.VIEWER),
        Route("GET", "/cache/stats", views.stats, "what it did"),
        Route("GET", "/metrics", parts.metrics.show, "the same and more, for Prometheus"),
        Route("GET", "/ca.pem", authority.pem, "its CA, as text"),
        Route("GET", "/ca.crt", authority.crt, "the same under the name that Linux takes"),
        Route("GET", "/ca.der", authority.der, "the same as bytes, for Windows and Android"),
        Route("GET", "/ca.mobileconfig", authority.mobileconfig, "a profile, for iOS and macOS"),
        Route("GET", "/install.sh", onboarding.shell, "what connects a Linux machine or a Mac"),
        Route("POST", "/login", parts.login.log_in, "a session, for the form's `password`"),
        Route("POST", "/logout", parts.login.log_out, "the end of it"),
        *parts.deeds.routes(),
        *Ollama(parts.facts, parts.deeds).routes(),
        *Pulling(parts.facts).routes(),
        Route("*", "/v2", clear, "the registry in the clear"),
        Route("*", "/v2/{rest:.*}", clear, "the registry in the clear"),
        Route("*", "/blobs/{rest:.*}", clear, "blobs, under a grant"),
    )


@web.middleware
async def _gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.version not in (HttpVersion10, HttpVersion11):
        request.protocol.force_close()  # aiohttp would answer in a version that it cannot.
        raise ConnectionResetError("neither HTTP/1.0 nor HTTP/1.1")
    if not request.raw_path.startswith("/"):  # Nobody's proxy: only a proxy is asked in that form.
        return _refuse(RequestInvalid("this port takes a path, and no absolute URL"))
    try:
        return await handler(request)
    except (web.HTTPException, ConnectionError):
        raise  # An answer, and a client that is gone.
    except Exception:  # noqa: BLE001  # The last door: it is logged, and never shown.
        _log.exception("%s %s failed", request.method, request.path)
        if request.writer.output_size:
            raise ConnectionResetError("too late for another answer") from None
        return _refuse(Unavailable("this box failed at this request: see its log"))


def _refuse(verdict: Verdict) -> web.Response:
    return web.Response(status=verdict.status, body=verdict.body(), headers=verdict.fields())
