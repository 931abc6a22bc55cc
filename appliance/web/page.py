"""The page: is it working, what did it save, what is it doing, what does it hold, how to connect.

One document rendered for who asks, without JavaScript and without anything from elsewhere.
"""

import asyncio
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from appliance.policy.health import judge_health
from appliance.protocol.reference import format_model_name
from appliance.web.facts import Facts
from appliance.web.learnt import describe_lessons
from appliance.web.views import Views

_ASSETS = resources.files("appliance.web") / "assets"
LESSONS_SHOWN_MAX = 20  # Newest first; whoever has more has one reason for all of them.
_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
# Nothing but this page's own style sheet: no script, no frame, no other host.
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"


class Page:
    """The page and its style sheet."""

    def __init__(self, facts: Facts, views: Views) -> None:
        self._facts = facts
        self._views = views
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        environment.filters["size"] = format_size
        environment.filters["model"] = format_model_name
        self._template = environment.from_string(_read_asset("index.html"))
        self._style = _read_asset("box.css")

    async def show(self, request: web.Request) -> web.Response:
        content = self._content(request)
        text = await asyncio.to_thread(self._render, content)
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=self._style, content_type="text/css")

    def _content(self, request: web.Request) -> dict[str, Any]:
        """What the loop knows."""
        checks = self._facts.checks()
        fills = self._facts.cache.fills
        lessons = self._facts.cache.books.learning.current(self._facts.now())
        return {
            "status": judge_health(checks).value,
            "checks": checks,
            "fills": [(fill.pending, fill.pending.held.size_bytes) for fill in fills],
            "learnt": describe_lessons(lessons)[:LESSONS_SHOWN_MAX],
            "bare_address": self._views.dialled(request)[0],
            "base_url": self._views.base_url(request),
            "proxy_url": self._views.proxy_url(request),
            "recipes": self._facts.recipes(),
        }

    def _render(self, content: dict[str, Any]) -> str:
        """The page, with what the store knows. Blocks."""
        return self._template.render(
            content,
            facts=self._facts,
            stats=self._views.describe_stats(),
            models=self._facts.cache.books.models(),
        )


def format_size(size_bytes: float) -> str:
    """Bytes for people, in powers of ten as disks and lines are sold: `1.5 GB`."""
    for unit in _UNITS:
        if size_bytes < 1000 or unit == _UNITS[-1]:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("the last unit takes any size")


def _read_asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")
