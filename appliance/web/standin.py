"""The side server while the box is without its disk: why, and the registry's own answers.

Pulls in the clear get what the registry says, uncached; nothing of the box's own is there.
"""

import html
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib import resources

from aiohttp import web

from appliance.policy.health import Check, judge_health
from appliance.protocol.errors import LoopDetected, MethodNotAllowed, Unavailable, Verdict
from appliance.protocol.fields import is_via
from appliance.protocol.heads import check_head
from appliance.registry.requests import asks_for_part
from appliance.upstream.passing import Passage
from appliance.upstream.source import OriginUnreachableError
from appliance.web.app import gate
from appliance.web.clear import read_text
from appliance.web.models import format_instant

_ASSETS = resources.files("appliance.web") / "assets"
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>Ollama LAN Appliance</title>
<link rel="stylesheet" href="/box.css">
</head>
<body>
<header><h1>Ollama LAN Appliance</h1><p class="status unhealthy">unhealthy</p></header>
<main>
<section aria-labelledby="state">
<h2 id="state">Is it working?</h2>
<p class="note bad" role="alert">It cannot use its disk: {trouble}.</p>
<p>Until it is there all goes to the registry itself, uncached. Nothing is lost.</p>
<p>What to do: {hint}.</p>
</section>
</main>
</body>
</html>
"""
# What of a request and of an answer is handed on. Credentials never travel in the clear.
_ASKED = ("Accept", "User-Agent", "Range", "If-None-Match")
_ANSWERED = (
    *("Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Location"),
    *("WWW-Authenticate", "Retry-After", "Docker-Distribution-Api-Version"),
    *("Docker-Content-Digest", "ollama-content-digest"),
)
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Plight:
    """Which box this is and what it lacks. `pseudonym` is what it signs `Via` with."""

    version: str
    state_dir: str
    trouble: str
    hint: str
    pseudonym: str
    now: Callable[[], float]

    def checks(self) -> dict[str, Check]:
        """What health says: without the disk there is nothing to serve from."""
        return {
            "disk": Check(is_ok=False, detail=f"{self.trouble}: {self.hint}"),
            "index": Check(is_ok=False, detail="what is held is on that disk; all goes past it"),
        }


def make_standin_app(plight: Plight, passage: Passage) -> web.Application:
    """All that is answered without a disk."""
    app = web.Application(middlewares=[gate])
    app.router.add_get("/", partial(_show, plight))
    app.router.add_get("/box.css", _style)
    app.router.add_get("/health", partial(_health, plight))
    app.router.add_get("/health/live", _live)
    app.router.add_get("/health/ready", partial(_ready, plight))
    for path in ("/v2", "/v2/{rest:.*}"):
        app.router.add_route("*", path, partial(_pass_on, plight, passage))
    app.router.add_route("*", "/{rest:.*}", partial(_lack, plight))
    return app


async def _show(plight: Plight, _: web.Request) -> web.Response:
    told = {"trouble": html.escape(plight.trouble), "hint": html.escape(plight.hint)}
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
    return web.Response(text=_PAGE.format(**told), content_type="text/html", headers=headers)


async def _style(_: web.Request) -> web.Response:
    return web.Response(text=(_ASSETS / "box.css").read_text("utf-8"), content_type="text/css")


async def _health(plight: Plight, request: web.Request) -> web.Response:
    if request.headers.get("Accept", "").startswith("text/plain"):
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="FAIL\n")
    checks = plight.checks()
    document = {
        "status": judge_health(checks).value,
        "time": format_instant(plight.now()),
        "checks": {
            name: {"ok": each.is_ok, "detail": each.detail} for name, each in checks.items()
        },
        "version": plight.version,
        "state_dir": plight.state_dir,
    }
    text = json.dumps(document) + "\n"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return web.Response(status=status, text=text, content_type="application/json")


async def _live(_: web.Request) -> web.Response:
    return web.Response(text="OK\n")


async def _ready(plight: Plight, _: web.Request) -> web.Response:
    broken = [f"{name}: {each.detail}\n" for name, each in plight.checks().items()]
    return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="".join(broken))


async def _lack(plight: Plight, request: web.Request) -> web.Response:
    return _refuse(request, Unavailable(f"this box waits for its disk ({plight.trouble})"))


async def _pass_on(plight: Plight, passage: Passage, request: web.Request) -> web.StreamResponse:
    """The origin's answer to a pull in the clear."""
    try:
        check_head(request.raw_headers)
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("in the clear this box takes GET and HEAD: use https")
        if any(is_via(value, plight.pseudonym) for value in request.headers.getall("Via", ())):
            raise LoopDetected("this box's own request came back to it: see dns.upstream")
        async with passage.ask(
            request.method, request.raw_path, _chosen(_ASKED, partial(read_text, request))
        ) as reply:
            fields = _chosen(_ANSWERED, lambda name: reply.headers.get(name, ""))
            response = web.StreamResponse(status=reply.status, reason=reply.reason, headers=fields)
            await response.prepare(request)
            async for chunk in reply.content.iter_chunked(_CHUNK_BYTES):
                await response.write(chunk)
            return response
    except Verdict as verdict:
        return _refuse(request, verdict)
    except OriginUnreachableError as error:
        return _refuse(request, Unavailable(f"this box has no disk, and {error}"))


def _chosen(names: Iterable[str], read: Callable[[str], str]) -> dict[str, str]:
    return {name: text for name in names if (text := read(name))}


def _refuse(request: web.Request, verdict: Verdict) -> web.Response:
    if asks_for_part(request.method, request.raw_path, request.headers.get("Range")):
        return web.Response(status=verdict.status)
    return web.Response(status=verdict.status, body=verdict.body(), headers=verdict.fields())
