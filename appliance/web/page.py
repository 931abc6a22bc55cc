"""The page: is it working, what did it save, what is it doing, what does it hold, how to connect.

One document rendered for who asks, whole without JavaScript and without anything from elsewhere.
box.js only keeps it up to date, from `/api/events`, and takes what it cannot update from the page
itself.
"""

import asyncio
import hashlib
import ipaddress
import ssl
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from appliance.cache.clients import SERVED_BYTES
from appliance.cache.janitor import PinnedError, UnknownModelError
from appliance.policy.connecting import (
    Reach,
    guess_system,
    list_direct,
    list_hosts,
    list_proxy,
    list_trust,
)
from appliance.policy.roles import DEEDS, Role, may
from appliance.policy.snippets import Record, list_snippets
from appliance.protocol.errors import NameInvalid
from appliance.protocol.reference import format_model_name, parse_model_name
from appliance.web.access import Access
from appliance.web.facts import Facts
from appliance.web.graph import draw_days, draw_hours
from appliance.web.learnt import describe_lessons
from appliance.web.live import Live
from appliance.web.login import TROUBLE, Login
from appliance.web.sizes import format_ago, format_size
from appliance.web.views import Views

_ASSETS = resources.files("appliance.web") / "assets"
LESSONS_SHOWN_MAX = 20  # Newest first; whoever has more has one reason for all of them.
# Nothing but this page's own files: no inline script, no frame, no other host. The one exception is
# the question whether the visitor's machine finds this box by the registry's name.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self' {registry}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DONE = "done"  # The query's key by which a form that worked comes back.
_TROUBLES = {
    "password": "That is not the admin password.",
    "tries": "Too many tries: wait a minute, then log in.",
    **dict.fromkeys(DEEDS, "That could not be done: the box's log says why."),
    "prefetch": "That is no model's name: one is such as llama3.2:1b.",
}
_NOTICES = {
    "pin": "Pinned: it is never let go of.",
    "unpin": "Unpinned.",
    "rm": "Deleted.",
    "prefetch": "Wished for: it is fetched in the background.",
    "unprefetch": "It is no longer fetched.",
    "pause": "Paused: nothing is downloaded that no machine waits for.",
    "resume": "Resumed.",
}


class Page:
    """The page and its own files."""

    def __init__(
        self, facts: Facts, views: Views, live: Live, access: Access, login: Login
    ) -> None:
        self._facts = facts
        self._views = views
        self._live = live
        self._access = access
        self._login = login
        environment = jinja2.Environment(
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            loader=jinja2.FunctionLoader(_read_asset),
        )
        environment.filters["size"] = format_size
        environment.filters["model"] = format_model_name
        environment.filters["ago"] = self._format_ago
        self._template = environment.get_template("index.html")
        self._files = {name: _read_asset(name) for name in ("box.css", "box.js", "icon.svg")}

    async def show(self, request: web.Request) -> web.Response:
        content = await self._content(request)
        text = await asyncio.to_thread(self._render, content)
        registry = self._views.check_url(request).rpartition("/")[0]
        headers = {
            "Content-Security-Policy": _POLICY.format(registry=registry),
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",  # With none the page's own forms have no Origin.
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=self._files["box.css"], content_type="text/css")

    async def script(self, request: web.Request) -> web.Response:
        return web.Response(text=self._files["box.js"], content_type="text/javascript")

    async def icon(self, request: web.Request) -> web.Response:
        return web.Response(text=self._files["icon.svg"], content_type="image/svg+xml")

    async def _content(self, request: web.Request) -> dict[str, Any]:
        """What the loop knows."""
        live = await self._live.describe()
        fills = self._facts.cache.fills
        lessons = self._facts.cache.books.learning.current(self._facts.now())
        address = self._views.dialled(request)[0]
        reach = self._reach(request)
        who = self._describe_visitor(request)
        return {
            "live": live,
            "status": live["status"],
            "checks": live["checks"],
            "is_new": live["shown"]["models"] == "0",
            "fills": [(fill.pending, fill.pending.held.size_bytes) for fill in fills],
            "learnt": describe_lessons(lessons)[:LESSONS_SHOWN_MAX],
            "bare_address": address,
            "is_alone": ipaddress.ip_address(address.partition("%")[0]).is_loopback,
            "base_url": self._views.base_url(request),
            "proxy_url": self._views.proxy_url(request),
            "system": guess_system(request.headers.get("User-Agent", "")),
            "ways": {
                "direct": tuple(list_direct(reach)),
                "hosts": tuple(list_hosts(reach)),
                "trust": tuple(list_trust(reach)),
                "proxy": tuple(list_proxy(reach)),
            },
            "recipes": self._facts.recipes(),
            "snippets": tuple(list_snippets(self._records(address))),
            "check_url": self._views.check_url(request),
            "visitor": request.remote or "",
            "who": who,
            "notice": _NOTICES.get(request.query.get(DONE, "")),
            "trouble": _TROUBLES.get(request.query.get(TROUBLE, "")),
            "confirm": await self._confirm(request) if who["can_delete"] else None,
        }

    def _reach(self, request: web.Request) -> Reach:
        """The box as this client reached it."""
        facts, (address, _) = self._facts, self._views.dialled(request)
        blobs = facts.blob_addresses(address)
        authority = ssl.PEM_cert_to_DER_cert(facts.ca_pem.decode("ascii"))
        return Reach(
            url=self._views.base_url(request),
            address=address,
            registry=facts.registry_name,
            blob_host=facts.blob_host,
            blob_address=next(iter((*blobs.v4, *blobs.v6)), ""),
            fingerprint=facts.ca_fingerprint,
            thumbprint=hashlib.sha1(authority, usedforsecurity=False).hexdigest(),
            proxy_url=self._views.proxy_url(request),
        )

    def _records(self, address: str) -> tuple[Record, ...]:
        """What the network's own DNS is to answer, for a client that reached the box there."""
        blobs = self._facts.blob_addresses(address)
        found = [Record(self._facts.blob_host, each) for each in (*blobs.v4, *blobs.v6)[:1]]
        return (Record(self._facts.registry_name, address), *found)

    def _describe_visitor(self, request: web.Request) -> dict[str, Any]:
        identity = self._access.identify(request)
        return {
            "name": identity.name,
            "is_in": identity.role is not Role.ANYONE,
            "can_log_in": self._login.is_possible,
            "can_pin": may(identity.role, DEEDS["pin"]),
            "can_delete": may(identity.role, DEEDS["rm"]),
            "can_prefetch": may(identity.role, DEEDS["prefetch"]),
            "can_pause": may(identity.role, DEEDS["pause"]),
        }

    async def _confirm(self, request: web.Request) -> Mapping[str, Any] | None:
        """What deleting `?delete=MODEL` would free, in bytes; None where it is not asked."""
        name = request.query.get("delete")
        if name is None:
            return None
        try:
            reference = parse_model_name(name)
            eviction = await self._facts.cache.janitor.remove(reference, dry_run=True)
        except NameInvalid:
            return {"name": "that", "trouble": "This is no model's name", "hint": ""}
        except (PinnedError, UnknownModelError) as fault:
            return {"name": name, "trouble": str(fault), "hint": fault.hint}
        freed_bytes = eviction.freed_bytes
        return {"name": format_model_name(reference), "trouble": "", "freed_bytes": freed_bytes}

    def _render(self, content: dict[str, Any]) -> str:
        """The page, with what the store knows. Blocks."""
        stats, now = self._views.describe_stats(), self._facts.now()
        books = self._facts.cache.books
        accounts = books.accounts()
        of_visitor = books.client_totals().get(content["visitor"], {})
        return self._template.render(
            content,
            facts=self._facts,
            stats=stats,
            models=books.models(),
            graphs=(draw_hours(accounts.by_hour, now), draw_days(accounts.by_day, now)),
            visitor_bytes=of_visitor.get(SERVED_BYTES, 0),
        )

    def _format_ago(self, at: float | None) -> str:
        return format_ago(None if at is None else self._facts.now() - at)


def _read_asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")
