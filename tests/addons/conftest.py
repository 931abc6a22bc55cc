"""The TLS door as it is: mitmproxy's Master, a CA of ours, a registry on a store, a raw origin."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from addons.inline import Inline
from addons.intercept import Intercept
from addons.master import Proxy
from addons.origin import OriginRoute
from addons.registry import RegistryAddon
from appliance.certs import Authority, Leaf, open_authority
from appliance.delivery.pump import Pumps
from appliance.listeners import open_listener
from appliance.policy.turnstile import Turnstile
from appliance.registry.requests import Answering
from tests.fakes.lines import across_lines
from tests.fakes.registry import Shop, open_shop
from tests.fakes.wire import Wire, dial

NAME = "registry.ollama.ai"
PSEUDONYM = "box-of-tests"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("door") / "ca"
    return open_authority(directory, (NAME,), now=datetime.now(UTC))


@pytest.fixture(scope="session")
def leaf(authority: Authority) -> Leaf:
    return authority.issue((NAME,), now=datetime.now(UTC))


@pytest.fixture(scope="session")
def trusted(authority: Authority) -> ssl.SSLContext:
    """What a client that was given our CA verifies by."""
    context = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@dataclass
class Internet:
    """Certificates for origins, by a CA that the door trusts."""

    authority: trustme.CA
    roots: str

    def context(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Internet:
    authority = trustme.CA()
    roots = tmp_path_factory.mktemp("internet") / "roots.pem"
    authority.cert_pem.write_to_path(roots)
    return Internet(authority, str(roots))


async def loopback(_: str) -> tuple[str, ...]:
    """Every name is on this machine."""
    return ("127.0.0.1",)


@dataclass
class Door:
    """An open TLS door."""

    proxy: Proxy
    shop: Shop
    port: int
    trusted: ssl.SSLContext
    leaves: list[Leaf] = field(default_factory=list)

    def dial(self, name: str = NAME) -> AbstractAsyncContextManager[Wire]:
        """Connect by TLS as a client that trusts our CA."""
        return dial(self.port, trusted=self.trusted, name=name)

    async def settle(self) -> None:
        """Wait until no client is connected any more."""
        async with asyncio.timeout(5):
            while self.proxy.connection_count:  # noqa: ASYNC110  # mitmproxy tells nobody.
                await asyncio.sleep(0)

    async def still_serves(self) -> bool:
        """Whether the next client gets its answer."""
        async with self.dial() as wire:
            return (await wire.ask(request("GET", "/v2/"))).status == 200


type OpenDoor = Callable[..., AbstractAsyncContextManager[Door]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What concerns the registry must hold at a worker's door, too."""
    is_theirs = metafunc.module.__name__.endswith(("test_registry", "test_inline", "test_passages"))
    if is_theirs and "open_door" in metafunc.fixturenames:
        metafunc.parametrize("open_door", ["the box's", "a worker's"], indirect=True)


@pytest.fixture
def open_door(
    tmp_path: Path,
    leaf: Leaf,
    trusted: ssl.SSLContext,
    internet: Internet,
    request: pytest.FixtureRequest,
) -> OpenDoor:
    """A door whose requests pass through to `url`: one that has the registry, or asks it."""

    @asynccontextmanager
    async def opened(
        url: str = "https://registry.ollama.ai:1",
        *,
        resolve: Callable[[str], Awaitable[tuple[str, ...]]] = loopback,
        proxy: str | None = None,
        is_allowed: Callable[[str], bool] = lambda _: True,
        names: frozenset[str] = frozenset({NAME}),
        turnstile: Turnstile | None = None,
    ) -> AsyncIterator[Door]:
        leaves = [leaf]
        listener = open_listener(("127.0.0.1",), 0, key="tls.port")
        port = listener.sockets[0].getsockname()[1]
        async with AsyncExitStack() as stack:
            shop = await stack.enter_async_context(open_shop(tmp_path / "state"))
            registry: Answering = shop.registry
            if getattr(request, "param", "") == "a worker's":
                remote = await stack.enter_async_context(across_lines(registry, resolve))
                registry, resolve = remote, remote.resolve
            route = OriginRoute(url, NAME, resolve, PSEUDONYM, proxy)
            intercept = Intercept(names, lambda: leaves[-1], is_allowed)
            inline = Inline(await stack.enter_async_context(Pumps(threads=1)))
            running = Proxy(
                listener.sockets,
                intercept,
                RegistryAddon(registry, route, inline),
                inline,
                turnstile or Turnstile(lambda _: False),
                trusted_roots=internet.roots,
            )
            await stack.enter_async_context(running)
            yield Door(running, shop, port, trusted, leaves)

    return opened


@pytest.fixture
async def door(open_door: OpenDoor) -> AsyncIterator[Door]:
    async with open_door() as opened:
        yield opened


@pytest.fixture
def no_crash(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Whatever came, nothing in the door failed."""
    yield caplog
    errors = [each for each in caplog.get_records("call") if each.levelno >= logging.ERROR]
    assert not errors, errors[0].getMessage()


def request(method: str, target: str, *lines: str, body: bytes = b"", host: str = NAME) -> bytes:
    """A request as a client writes it; `lines` are more fields."""
    head = "\r\n".join((f"{method} {target} HTTP/1.1", f"Host: {host}", *lines))
    return head.encode() + b"\r\n\r\n" + body
