"""What the box says of itself over HTTP: health, models, statistics, itself."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.cache.clients import PULLS, SERVED_BYTES
from appliance.policy.health import Status, judge_health
from appliance.protocol.fields import format_authority
from appliance.web.facts import Facts
from appliance.web.learnt import describe_lessons
from appliance.web.models import describe_model, format_instant, matches
from appliance.web.prefetches import describe_prefetch
from appliance.web.sessions import describe_sessions
from appliance.web.stats import describe_stats

MODELS_MAX = 10_000  # A page of JSON that a script still reads in one go; `limit` lowers it.
HTTP_PORT = 80


class Views:
    """The handlers; each reads, none changes anything."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._books = facts.cache.books

    async def health(self, request: web.Request) -> web.Response:
        """`OK` to who asks for text, else JSON; 503 while clients would fail here."""
        checks = self._facts.checks()
        status = judge_health(checks)
        code = HTTPStatus.SERVICE_UNAVAILABLE if status is Status.UNHEALTHY else HTTPStatus.OK
        if request.headers.get("Accept", "").startswith("text/plain"):
            return web.Response(status=code, text="OK\n" if code == HTTPStatus.OK else "FAIL\n")
        document = {
            "status": status.value,
            "time": format_instant(self._facts.now()),
            "checks": {
                name: {"ok": check.is_ok, "detail": check.detail} for name, check in checks.items()
            },
            "version": self._facts.version,
            "state_dir": self._facts.state_dir,  # For `status`, once its own way there is gone.
        }
        return _json(document, status=code)

    async def live(self, request: web.Request) -> web.Response:
        """`OK` from a loop that turns; for who would restart the box otherwise."""
        return web.Response(text="OK\n")

    async def ready(self, request: web.Request) -> web.Response:
        """`OK`, or 503 and what is broken; for who sends clients elsewhere then."""
        checks = self._facts.checks()
        if judge_health(checks) is not Status.UNHEALTHY:
            return web.Response(text="OK\n")
        broken = [f"{name}: {each.detail}\n" for name, each in checks.items() if not each.is_ok]
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="".join(broken))

    async def models(self, request: web.Request) -> web.Response:
        """`?q=` narrows by name, `?limit=` by number. Raises HTTPBadRequest for an odd limit."""
        limit = _read_limit(request.query.get("limit"))
        rows = await asyncio.to_thread(self._books.models)
        wanted = [row for row in rows if matches(row, request.query.get("q", ""))][:limit]
        base_url, name = self.base_url(request), self._facts.registry_name
        return _json([describe_model(row, base_url, name) for row in wanted])

    async def sessions(self, request: web.Request) -> web.Response:
        return _json(self.describe_sessions())

    def describe_sessions(self) -> dict[str, Any]:
        """What `/api/sessions` says."""
        sessions, names_clients = self._facts.cache.sessions, self._books.clients.is_kept
        return describe_sessions(sessions, now=self._facts.now(), names_clients=names_clients)

    async def clients(self, request: web.Request) -> web.Response:
        """What each client was given in the days that are kept, the most first."""
        totals = await asyncio.to_thread(self._books.client_totals)
        most_first = sorted(totals.items(), key=lambda each: -each[1].get(SERVED_BYTES, 0))
        return _json(
            [
                {
                    "client_ip": address,
                    "bytes_served": counts.get(SERVED_BYTES, 0),
                    "pulls": counts.get(PULLS, 0),
                }
                for address, counts in most_first
            ]
        )

    async def stats(self, request: web.Request) -> web.Response:
        return _json(await asyncio.to_thread(self.describe_stats))

    def describe_stats(self) -> dict[str, Any]:
        """What `/cache/stats` says. Blocks."""
        self._books.save()
        return describe_stats(
            self._books.stats(),
            self._books.accounts(),
            self._books.models(),
            self._facts.cache.scrubber.progress(),
            directory=self._facts.state_dir,
            now=self._facts.now(),
        )

    async def info(self, request: web.Request) -> web.Response:
        facts = self._facts
        rows = await asyncio.to_thread(self._books.models)
        return _json(
            {
                "server": "ollama-appliance",
                "version": facts.version,
                "server_version": facts.version,
                "models_dir": facts.state_dir,
                "models_directory": facts.state_dir,
                "models": len(rows),
                "total_models": len(rows),
                "model_count": len(rows),
                "total_size_bytes": sum(row.total_size_bytes for row in rows),
                "server_ips": list(facts.addresses()),
                "uptime_seconds": int(facts.now() - facts.started_at),
                "modes": self.modes(),
                "paused": facts.cache.background.is_paused,
                "prefetches": [describe_prefetch(each) for each in facts.prefetches()],
                "registry": facts.registry_name,
                "ca_fingerprint": facts.ca_fingerprint,
                "learnt": describe_lessons(self._books.learning.current(facts.now())),
            }
        )

    def modes(self) -> list[str]:
        """The ways by which a client can use this box now."""
        facts = self._facts
        dns = ["dns"] if facts.dns_port else []
        proxy = ["proxy"] if facts.proxy_port else []
        return [*dns, "plain", *proxy, "direct"]

    async def check(self, request: web.Request) -> web.Response:
        """Which box answers by the registry's name: for the page's question to the browser.

        Any page may read it, because the page that asks was loaded by another name.
        """
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "no-store"}
        if "text/html" in request.headers.get("Accept", ""):
            text = (
                "Yes: this machine finds this box.\n\n"
                f"Its certificate's fingerprint is {self._facts.ca_fingerprint}\n"
            )
            return web.Response(text=text, headers=headers)
        told = {"box": "ollama-appliance", "ca_fingerprint": self._facts.ca_fingerprint}
        return web.json_response(told, headers=headers)

    def check_url(self, request: web.Request) -> str:
        """Where that is asked: by the registry's name, on the port by which this client came."""
        name, (_, port) = self._facts.registry_name, self.dialled(request)
        return f"http://{format_authority(name, port, default_port=HTTP_PORT)}/check"

    def base_url(self, request: web.Request) -> str:
        """The box as this client reached it: by its own address, never by what Host claims."""
        address, port = self.dialled(request)
        return f"http://{format_authority(address, port, default_port=HTTP_PORT)}"

    def proxy_url(self, request: web.Request) -> str | None:
        """What HTTPS_PROXY is to be for this client; None where there is no proxy way."""
        if self._facts.proxy_port is None:
            return None
        address, _ = self.dialled(request)
        authority = format_authority(address, self._facts.proxy_port, default_port=HTTP_PORT)
        return f"http://{authority}"

    def dialled(self, request: web.Request) -> tuple[str, int]:
        """The box's address and port that this client connected to."""
        name = request.transport.get_extra_info("sockname") if request.transport else None
        return (name[0], name[1]) if name else ("127.0.0.1", self._facts.web_port)


def _read_limit(text: str | None) -> int:
    if text is None:
        return MODELS_MAX
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise web.HTTPBadRequest(text="limit is a number of models, as in ?limit=20\n")
    return min(int(text), MODELS_MAX)


def _json(document: object, *, status: int = 200) -> web.Response:
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    return web.Response(status=status, text=text, content_type="application/json")
