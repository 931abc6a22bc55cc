"""The side server's routes, as one list, and who may ask."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler

from appliance.policy.roles import DEEDS, Role
from appliance.protocol.errors import RequestInvalid, Unavailable, Verdict
from appliance.registry.requests import asks_for_part
from appliance.web.access import Access
from appliance.web.archives import Archives
from appliance.web.authority import CERTIFICATE_TYPE, PROFILE_TYPE, Authority
from appliance.web.clear import ClearDoor
from appliance.web.deeds import Deeds
from appliance.web.events import Events
from appliance.web.facts import Facts
from appliance.web.live import Live
from appliance.web.login import Login
from appliance.web.metrics import Metrics
from appliance.web.ollama import Ollama
from appliance.web.onboarding import Onboarding
from appliance.web.openapi import OpenApi
from appliance.web.page import Page
from appliance.web.pulling import Pulling
from appliance.web.routes import BYTES, TEXT, Field, Route
from appliance.web.views import Views

BODY_SIZE_BYTES_MAX = 64 * 1024  # A form, or a wish of a few words.

HTML = "text/html"

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
    app = web.Application(client_max_size=BODY_SIZE_BYTES_MAX, middlewares=[gate])
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
    described = OpenApi(parts.facts.version)
    described.routes = (*_list_routes(parts, events), described.route())
    return described.routes


def _list_routes(parts: Parts, events: Events) -> Iterator[Route]:
    yield from _list_pages(parts, events)
    yield from _list_numbers(parts, events)
    yield from parts.deeds.routes()
    yield from Ollama(parts.facts, parts.deeds).routes()
    yield from Pulling(parts.facts).routes()
    yield from Archives(parts.facts, parts.clear.pumps).routes()
    clear, what = parts.clear.answer, "the registry in the clear"
    yield Route("*", "/v2", clear, what)
    yield Route("*", "/v2/{rest:.*}", clear, what)
    yield Route("*", "/blobs/{rest:.*}", clear, "blobs, under a grant", gives=BYTES)


def _list_pages(parts: Parts, events: Events) -> Iterator[Route]:
    views = Views(parts.facts)
    page = Page(parts.facts, views, events.live, parts.access, parts.login)
    authority, login = Authority(parts.facts), parts.login
    password = (Field("password", "the admin's", is_needed=True),)
    yield Route("GET", "/", page.show, "the page", gives=HTML)
    yield Route("GET", "/box.css", page.style, "its style sheet", gives="text/css")
    yield Route("GET", "/box.js", page.script, "what keeps it up to date", gives="text/javascript")
    yield Route("GET", "/icon.svg", page.icon, "its icon", gives="image/svg+xml")
    yield Route("POST", "/login", login.log_in, "a session", gives=HTML, body=password)
    yield Route("POST", "/logout", login.log_out, "the end of it", gives=HTML)
    what = "its CA, as text"
    yield Route("GET", "/ca.pem", authority.pem, what, gives="application/x-pem-file")
    what = "the same under the name that Linux takes"
    yield Route("GET", "/ca.crt", authority.crt, what, gives=CERTIFICATE_TYPE)
    what = "the same as bytes, for Windows and Android"
    yield Route("GET", "/ca.der", authority.der, what, gives=CERTIFICATE_TYPE)
    what = "a profile, for iOS and macOS"
    yield Route("GET", "/ca.mobileconfig", authority.mobileconfig, what, gives=PROFILE_TYPE)
    onboarding, what = Onboarding(parts.facts, views), "what connects a Linux machine or a Mac"
    yield Route("GET", "/install.sh", onboarding.shell, what, gives="text/x-shellscript")
    yield Route("GET", "/install.ps1", onboarding.powershell, "the same for Windows", gives=TEXT)


def _list_numbers(parts: Parts, events: Events) -> Iterator[Route]:
    views = Views(parts.facts)
    narrowing = (Field("q", "part of a name"), Field("limit", "how many", "integer"))
    what = "which box answers by the registry's name"
    yield Route("GET", "/check", views.check, what)
    yield Route("GET", "/health", views.health, "whether clients can use the box, and each check")
    yield Route("GET", "/health/live", views.live, "that the box runs", gives=TEXT)
    yield Route("GET", "/health/ready", views.ready, "whether to send clients here", gives=TEXT)
    yield Route("GET", "/api/info", views.info, "the box")
    yield Route("GET", "/api/models", views.models, "what it holds", query=narrowing)
    yield Route("GET", "/api/sessions", views.sessions, "who pulls what, and lately pulled")
    what = "everything the page shows live, as events"
    yield Route("GET", "/api/events", events.watch, what, gives="text/event-stream")
    what = "what each machine was given"
    yield Route("GET", "/api/clients", views.clients, what, Role.VIEWER)
    yield Route("GET", "/cache/stats", views.stats, "what it did")
    what = "the same and more, for Prometheus"
    yield Route("GET", "/metrics", parts.metrics.show, what, gives=TEXT)


def make_table() -> tuple[Route, ...]:
    """The table of a box that is not there: what its papers are made from. Nothing answers."""
    nobody: Any = _Nobody()
    deeds = Deeds(dict.fromkeys(DEEDS, nobody), nobody)
    parts = Parts(nobody, nobody, nobody, nobody, deeds, nobody)
    return make_routes(parts, nobody)


class _Nobody:
    """Stands where a part of the box would."""

    def __getattr__(self, name: str) -> "_Nobody":
        return self


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Before every route: what is no request for a path is refused, and no fault is shown."""
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
        if request.writer.output_size or asks_for_part(
            request.method, request.raw_path, request.headers.get("Range")
        ):
            raise ConnectionResetError("too late for another answer, or none would do") from None
        return _refuse(Unavailable("this box failed at this request: see its log"))


def _refuse(verdict: Verdict) -> web.Response:
    return web.Response(status=verdict.status, body=verdict.body(), headers=verdict.fields())
