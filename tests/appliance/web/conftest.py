"""The plain door as it is: aiohttp on a loopback socket, pumps, a registry on a store."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from appliance.delivery.pump import Pumps
from appliance.listeners import open_listener
from appliance.policy.health import Check
from appliance.policy.roles import Role
from appliance.policy.turnstile import Turnstile
from appliance.prefetching import Prefetcher
from appliance.registry.meters import Meters
from appliance.store.store import Store
from appliance.token_desk import make_tokens
from appliance.tokens import Tokens
from appliance.upkeep import Upkeep
from appliance.web.access import Access
from appliance.web.app import Parts, make_app
from appliance.web.bounds import Admission, Site
from appliance.web.clear import ClearDoor
from appliance.web.deeds import Deeds
from appliance.web.facts import Facts
from appliance.web.login import Login
from appliance.web.metrics import GAUGES, Metrics
from tests.fakes.registry import NOON, Shop, open_shop
from tests.fakes.wire import Answer, Wire, dial

NAME = "registry.ollama.ai"


@dataclass
class Desk:
    """Who may change something, and what was noted of it."""

    store: Store
    password_file: Path
    prefetcher: Prefetcher | None = None
    names: tuple[str, ...] = ("box.lan",)
    notes: list[tuple[str, str, str, str]] = field(default_factory=list)
    now: float = NOON
    meters: Meters = field(default_factory=Meters)

    @property
    def tokens(self) -> Tokens:
        return make_tokens(self.store, b"s" * 32, lambda: self.now)

    def token(self, role: Role) -> str:
        return self.tokens.issue("somebody", role, 60)[0]

    def parts(self, facts: Facts, clear: ClearDoor) -> Parts:
        return Parts(
            facts=facts,
            clear=clear,
            access=Access(self.tokens, self.names),
            login=Login(self.tokens, self.password_file, self._note_login),
            deeds=Deeds(
                {
                    **Upkeep(self.store, facts.cache.janitor, facts.cache.scrubber).deeds(),
                    **(self.prefetcher.deeds() if self.prefetcher else {}),
                },
                self._note,
            ),
            metrics=Metrics(facts, self.meters, lambda: dict.fromkeys(GAUGES, 1.0)),
        )

    def _note_login(self, who: str, where: str, outcome: str) -> None:
        self.notes.append((who, where, "login", outcome))

    def _note(self, who: str, where: str, deed: str, wish: Mapping[str, Any], outcome: str) -> None:
        self.notes.append((who, where, f"{deed} {json.dumps(wish)}", outcome))


@dataclass
class Door:
    """An open plain door. `checks` and `facts` are what it shows."""

    port: int
    shop: Shop
    facts: Facts
    desk: Desk
    clear: ClearDoor
    checks: dict[str, Check] = field(default_factory=dict)

    def dial(self) -> AbstractAsyncContextManager[Wire]:
        return dial(self.port)

    async def ask(self, target: str, *lines: str, method: str = "GET") -> Answer:
        """Ask on a connection of its own."""
        async with self.dial() as wire:
            return await wire.ask(request(target, *lines, method=method))

    async def post(
        self, target: str, body: bytes, *lines: str, host: str = NAME, method: str = "POST"
    ) -> Answer:
        """Ask for a change, on a connection of its own."""
        async with self.dial() as wire:
            return await wire.ask(request(target, *lines, method=method, host=host, body=body))

    async def document(self, target: str) -> Any:
        answer = await self.ask(target)
        assert answer.fields["Content-Type"] == "application/json; charset=utf-8"
        return json.loads(answer.body)


type OpenDoor = Callable[..., AbstractAsyncContextManager[Door]]


def facts_of(shop: Shop, checks: dict[str, Check]) -> Facts:
    """A box that serves DNS, https and http on their own ports."""
    return Facts(
        version="0.1.0",
        started_at=NOON - 90,
        state_dir="state",
        registry_name=NAME,
        blob_host="blobs.home.arpa",
        refuse_private_from="0.35.2",
        recipes=tuple,
        ca_pem=ssl.DER_cert_to_PEM_cert(b"a certificate").encode(),
        ca_fingerprint="AB:CD",
        dns_port=53,
        tls_port=443,
        proxy_port=3128,
        web_port=80,
        addresses=lambda: ("10.0.0.5",),
        checks=lambda: checks,
        cache=shop.cache,
        now=lambda: NOON,
    )


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def open_door(tmp_path: Path) -> OpenDoor:
    """A plain door; keyword arguments are facts."""

    @asynccontextmanager
    async def opened(
        *,
        is_allowed: Callable[[str], bool] = lambda _: True,
        turnstile: Turnstile | None = None,
        **changed: Any,
    ) -> AsyncIterator[Door]:
        listener = open_listener(("127.0.0.1",), 0, key="web.ports")
        port = listener.sockets[0].getsockname()[1]
        checks = {"dns": Check(is_ok=True, detail="answers")}
        async with open_shop(tmp_path / "state") as shop, Pumps(threads=1) as pumps:
            prefetcher = Prefetcher(shop.cache, shop.store, "ollama-appliance", now=lambda: NOON)
            facts = replace(facts_of(shop, checks), **changed)
            facts = replace(facts, prefetches=lambda: prefetcher.prefetches)
            desk = Desk(shop.store, tmp_path / "password", prefetcher)
            clear = ClearDoor(shop.registry, pumps)
            app = make_app(desk.parts(facts, clear))
            admission = Admission(is_allowed, turnstile or roomy_turnstile())
            async with prefetcher, Site(app, listener.sockets, admission):
                yield Door(port, shop, facts, desk, clear, checks)

    return opened


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


def roomy_turnstile() -> Turnstile:
    """Room for all that a test opens."""
    return Turnstile(lambda _: False)


def request(
    target: str, *lines: str, method: str = "GET", host: str = NAME, body: bytes = b""
) -> bytes:
    """A request; `lines` are more fields."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    head = (f"{method} {target} HTTP/1.1", f"Host: {host}", *lines, *length)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def turns(count: int = 200) -> None:
    """Let everything that can run now do so."""
    for _ in range(count):
        await asyncio.sleep(0)
