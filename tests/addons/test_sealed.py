"""The sealed door: the registry's TLS goes to the registry, and nothing else goes anywhere."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons import sealed
from addons.guard import HELLO_SIZE_BYTES_MAX
from addons.sealed import SealedDoor, read_hello
from appliance.listeners import open_listener
from appliance.policy.turnstile import Turnstile
from appliance.upstream.tunnel import Outlet
from tests.addons.conftest import NAME, Internet, loopback
from tests.fakes.wire import Wire, dial

SAID = b"what only its own registry can say"


@dataclass
class Scene:
    """A sealed door, and how often the registry was dialled."""

    port: int
    dialled: list[str]
    trusted: ssl.SSLContext

    def dial(self, name: str | None = None) -> AbstractAsyncContextManager[Wire]:
        if name is None:
            return dial(self.port)
        return dial(self.port, trusted=self.trusted, name=name)


type OpenScene = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def open_scene(internet: Internet) -> OpenScene:
    @asynccontextmanager
    async def opened(
        *, is_allowed: Callable[[str], bool] = lambda _: True, turnstile: Turnstile | None = None
    ) -> AsyncIterator[Scene]:
        dialled: list[str] = []

        async def resolve(name: str) -> tuple[str, ...]:
            dialled.append(name)
            return await loopback(name)

        async def say(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(SAID)
            writer.close()

        server = await asyncio.start_server(say, "127.0.0.1", 0, ssl=internet.context(NAME, "*.x"))
        listener = open_listener(("127.0.0.1",), 0, key="tls.port")
        trusted = ssl.create_default_context(cafile=internet.roots)
        async with server:
            door = SealedDoor(
                listener.sockets,
                NAME,
                server.sockets[0].getsockname()[1],
                Outlet(resolve),
                is_allowed=is_allowed,
                turnstile=turnstile or Turnstile(lambda _: False),
            )
            async with door:
                port = listener.sockets[0].getsockname()[1]
                yield Scene(port, dialled, trusted)

    return opened


@pytest.mark.parametrize("name", [NAME, NAME.upper()])
async def test_the_registry_is_reached_and_shows_its_own_certificate(
    open_scene: OpenScene, name: str
) -> None:
    async with open_scene() as scene, scene.dial(name) as wire:
        assert await wire.rest() == SAID
    assert scene.dialled == [NAME]


@pytest.mark.parametrize("name", ["ollama.com", "evil" + NAME, "a.x"])
async def test_for_another_name_nothing_is_dialled(open_scene: OpenScene, name: str) -> None:
    async with open_scene() as scene:
        with pytest.raises(OSError):  # noqa: PT011  # However TLS calls it that nobody answers.
            async with scene.dial(name):
                """It is never entered."""
        assert scene.dialled == []


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x80\x2e\x01\x00\x02"]
)
async def test_what_is_no_hello_is_closed_without_a_word(
    open_scene: OpenScene, sent: bytes
) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        wire.send(sent)
        wire.writer.write_eof()
        assert await wire.rest() == b""
        assert scene.dialled == []


async def test_a_client_from_elsewhere_is_closed_at_once(open_scene: OpenScene) -> None:
    async with open_scene(is_allowed=lambda _: False) as scene, scene.dial() as wire:
        assert await wire.rest() == b""


async def test_connections_are_counted_and_given_back(open_scene: OpenScene) -> None:
    turnstile = Turnstile(lambda _: False, connections_max=4)
    async with open_scene(turnstile=turnstile) as scene:
        async with scene.dial(), scene.dial() as refused:
            assert await refused.rest() == b""
        async with scene.dial(NAME) as wire:
            assert await wire.rest() == SAID
    assert turnstile.refused_count == 1
    assert turnstile.connection_count == 0


async def test_a_slow_hello_is_closed(
    open_scene: OpenScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "HEAD_SECONDS_MAX", 0.05)
    async with open_scene() as scene, scene.dial() as wire:
        wire.send(b"\x16\x03")
        assert await wire.rest() == b""


async def test_it_leaves_while_a_tunnel_is_open(open_scene: OpenScene) -> None:
    async with open_scene() as scene:
        held = scene.dial()
        wire = await held.__aenter__()
        wire.send(b"\x16\x03\x01")
    assert await wire.rest() == b""
    await held.__aexit__(None, None, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=60) | st.just(b"\x16\x03\x01\x00\x20"), max_size=6))
async def test_any_bytes_are_no_hello_and_end(chunks: list[bytes]) -> None:
    reader = asyncio.StreamReader()
    for chunk in chunks:
        reader.feed_data(chunk)
    reader.feed_eof()
    assert await read_hello(reader, NAME) is None


async def test_a_hello_has_a_largest_size() -> None:
    reader = asyncio.StreamReader(limit=4 * HELLO_SIZE_BYTES_MAX)
    for _ in range(8):
        reader.feed_data(b"\x16\x03\x01\x40\x00" + b"\x01\xff\xff\xff" + bytes(0x4000 - 4))
    assert await read_hello(reader, NAME) is None
