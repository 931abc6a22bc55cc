"""The proxy door: what it opens, tunnels and refuses, by raw bytes and counted sockets."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from addons import tunnel
from addons.tunnel import ProxyDoor, ProxyRules
from appliance.delivery.pump import Pumps
from appliance.listeners import open_listener
from appliance.policy.addresses import AddressRefusedError
from appliance.policy.turnstile import Turnstile
from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from appliance.registry.registry import Registry
from appliance.upstream.dialling import Resolve
from appliance.upstream.tunnel import Outlet, Streams
from appliance.web.app import make_app
from appliance.web.bounds import Admission, Site
from appliance.web.clear import ClearDoor
from tests.addons.conftest import NAME, PSEUDONYM, Door, OpenDoor, loopback, request
from tests.addons.test_intercept import anything
from tests.appliance.web.conftest import Desk, facts_of
from tests.fakes.corpus import AMBIGUOUS, GARBAGE, requests_of_any_kind
from tests.fakes.wire import Answer, RawOrigin, Wire, dial

LISTED = "ollama.com"
OTHER = "blobs.home.arpa"  # Of ours, too.
LAYER = bytes(range(256)) * 400


@dataclass(frozen=True)
class CountingOutlet(Outlet):
    """Leads every name to the port of loopback that was added last, and remembers the names."""

    names: list[str] = field(default_factory=list)
    doors: list[int] = field(default_factory=lambda: [9])  # Where nobody listens.

    @asynccontextmanager
    async def dial(self, name: str, port: int) -> AsyncIterator[Streams]:
        assert port == 443
        self.names.append(name)
        async with Outlet.dial(self, name, self.doors[-1]) as streams:
            yield streams


@dataclass
class Scene:
    """An open proxy door, the TLS door behind it, and the way out."""

    door: Door
    outlet: CountingOutlet
    proxy_door: ProxyDoor
    port: int
    http_port: int
    trusted: ssl.SSLContext
    own: list[str] = field(default_factory=list)

    def dial(self) -> AbstractAsyncContextManager[Wire]:
        return dial(self.port)

    @asynccontextmanager
    async def connect(
        self, authority: str, tls: str | None = None, trusted: ssl.SSLContext | None = None
    ) -> AsyncIterator[Wire]:
        """A tunnel to `authority`; with TLS for the name `tls` inside of it, by our CA."""
        async with self.dial() as wire:
            wire.send(connect(authority))
            assert await wire.reader.readuntil(b"\r\n\r\n") == tunnel._ESTABLISHED
            if tls is not None:
                await wire.writer.start_tls(trusted or self.trusted, server_hostname=tls)
            yield wire

    async def still_serves(self) -> bool:
        async with self.connect(f"{NAME}:443", NAME) as wire:
            return (await wire.ask(request("GET", "/v2/"))).status == 200


type OpenScene = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def open_scene(open_door: OpenDoor, trusted: ssl.SSLContext, tmp_path: Path) -> OpenScene:
    @asynccontextmanager
    async def opened(
        url: str = "https://registry.ollama.ai:1",
        *,
        is_allowed: Callable[[str], bool] = lambda _: True,
        resolve: Resolve = loopback,
        turnstile: Turnstile | None = None,
    ) -> AsyncIterator[Scene]:
        turnstile = turnstile or Turnstile(lambda _: False)
        clear = open_listener(("127.0.0.1",), 0, key="web.ports")
        listener = open_listener(("127.0.0.1",), 0, key="proxy.port")
        port, http_port = (each.sockets[0].getsockname()[1] for each in (listener, clear))
        own: list[str] = []
        rules = ProxyRules(
            opened=frozenset({NAME, OTHER}),
            tunnelled=(LISTED, "*.hf.co"),
            is_allowed=is_allowed,
            own_addresses=lambda: own,
            http_ports=frozenset({http_port}),
            pseudonym=PSEUDONYM,
            turnstile=turnstile,
        )
        outlet = CountingOutlet(resolve)
        async with open_door(url, names=rules.opened) as door, Pumps(threads=1) as pumps:
            desk = Desk(door.shop.store, tmp_path / "password")
            app_parts = desk.parts(facts_of(door.shop, {}), ClearDoor(door.shop.registry, pumps))
            app = make_app(app_parts)
            admission = Admission(is_allowed, turnstile)
            async with (
                Site(app, clear.sockets, admission) as site,
                ProxyDoor(listener.sockets, rules, outlet, door.proxy, site.take) as proxy_door,
            ):
                yield Scene(door, outlet, proxy_door, port, http_port, trusted, own)

    return opened


@pytest.fixture
async def scene(open_scene: OpenScene) -> AsyncIterator[Scene]:
    async with open_scene() as opened:
        yield opened


def connect(authority: str, *lines: str, host: str | None = None) -> bytes:
    return request("CONNECT", authority, *lines, host=authority if host is None else host)


async def ask(scene: Scene, content: bytes) -> Answer:
    """The one answer on a connection that is closed after it."""
    async with scene.dial() as wire:
        answer = await wire.ask(content)
        assert await wire.rest() == b""
        return answer


# What is opened.


async def test_our_name_is_opened_with_a_chain_that_verifies(scene: Scene) -> None:
    async with scene.connect(f"{NAME}:443", NAME) as wire:
        assert (await wire.ask(request("GET", "/v2/"))).status == 200
        assert (await wire.ask(request("GET", "/v2/"))).status == 200
        assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    await scene.door.settle()
    assert scene.outlet.names == []


async def test_a_hello_that_does_not_wait_for_the_answer_is_not_lost(scene: Scene) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = scene.trusted.wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    async with scene.dial() as wire:
        wire.send(connect(f"{NAME}:443") + outgoing.read())
        assert await wire.reader.readuntil(b"\r\n\r\n") == tunnel._ESTABLISHED
        assert (await wire.reader.readexactly(2)) == b"\x16\x03"


@pytest.mark.parametrize("name", [OTHER, LISTED, "google.com"])
async def test_tls_inside_is_for_the_name_that_connect_said(scene: Scene, name: str) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with scene.connect(f"{NAME}:443", name, anything()):
            pass
    await scene.door.settle()
    async with scene.connect(f"{OTHER}:443", OTHER, anything()):
        assert await scene.still_serves()


async def test_a_request_inside_is_for_that_name_too(scene: Scene) -> None:
    async with scene.connect(f"{NAME}:443", NAME) as wire:
        assert (await wire.ask(request("GET", "/v2/", host="ollama.com"))).status == 421


async def test_what_is_no_tls_inside_is_closed(scene: Scene) -> None:
    async with scene.connect(f"{NAME}:443") as wire:
        wire.send(request("GET", "/v2/"))
        assert await wire.rest() == b""
    await scene.door.settle()


async def test_what_is_not_ours_to_answer_passes_through_to_the_origin(
    open_scene: OpenScene,
) -> None:
    async with RawOrigin().serve() as origin, open_scene(f"http://{NAME}:{origin.port}") as scene:
        async with scene.connect(f"{NAME}:443", NAME) as wire:
            answer = await wire.ask(request("GET", "/token", "Authorization: Bearer x"))
            assert answer.status == 200
        assert origin.requests[0].values("Authorization") == ["Bearer x"]
        assert origin.requests[0].values("Via") == [f"1.1 {PSEUDONYM}"]


# What is tunnelled.


async def test_a_name_of_the_list_is_tunnelled_byte_for_byte(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawOrigin(response=b"\x00\xffany bytes").serve() as origin:
        scene.outlet.doors.append(origin.port)
        with caplog.at_level(logging.INFO, logger="proxy"):
            async with scene.connect(f"{LISTED}:443") as wire:
                wire.send(b"\x16\x03\x01 no hello\r\n\r\n")
                assert await wire.reader.readexactly(11) == b"\x00\xffany bytes"
                assert scene.proxy_door.tunnel_count == 1
            async with asyncio.timeout(5):
                while scene.proxy_door.tunnel_count:  # noqa: ASYNC110  # A counter, not an event.
                    await asyncio.sleep(0)
        assert origin.requests[0].head == b"\x16\x03\x01 no hello\r\n\r\n"
    assert "127.0.0.1 tunnelled to ollama.com: 16 bytes up, 11 down" in caplog.messages


async def test_a_wildcard_of_the_list_is_one_label(scene: Scene) -> None:
    assert (await ask(scene, connect("cdn-lfs.hf.co:443"))).status == 502  # Tried: nobody there.
    assert (await ask(scene, connect("a.b.hf.co:443"))).status == 403
    assert scene.outlet.names == ["cdn-lfs.hf.co"]


async def test_an_address_that_must_not_be_dialled_is_named(open_scene: OpenScene) -> None:
    async def private(_: str) -> tuple[str, ...]:
        raise AddressRefusedError("10.0.0.1", "private", "set origin.allow_private = true")

    async with open_scene(resolve=private) as scene:
        answer = await ask(scene, connect(f"{LISTED}:443"))
    assert answer.status == 502
    assert answer.body == b"10.0.0.1 is private: set origin.allow_private = true\n"


async def test_more_tunnels_than_are_carried_are_put_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel, "TUNNELS_MAX", 1)
    async with RawOrigin().serve() as origin:
        scene.outlet.doors.append(origin.port)
        async with scene.connect(f"{LISTED}:443"):
            assert (await ask(scene, connect(f"{LISTED}:443"))).status == 503


async def test_stopping_ends_tunnels_and_waiting_heads(open_scene: OpenScene) -> None:
    async with RawOrigin().serve() as origin, dial(origin.port):
        async with open_scene() as scene:
            scene.outlet.doors.append(origin.port)
            begun = await scene.dial().__aenter__()
            begun.send(b"CONN")
            opened = scene.connect(f"{LISTED}:443")
            wire = await opened.__aenter__()
        assert await wire.rest() == b""
        assert await begun.rest() == b""
        await opened.__aexit__(None, None, None)


# What is refused.

FOREIGN = [
    *("google.com", "ollama.ai", f"evil{NAME}", f"a.{NAME}", f"{NAME}.evil.test", "localhost"),
    *("127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8", "[::1]", "[::ffff:127.0.0.1]"),
    *("2130706433", "0x7f.1", "127.1", "0"),
]
FORMS = [
    pytest.param(lambda host: connect(f"{host}:443"), id="CONNECT"),
    pytest.param(lambda host: connect(f"{host}:80"), id="CONNECT to 80"),
    pytest.param(lambda host: connect(f"{host}:22"), id="CONNECT to 22"),
    pytest.param(lambda host: connect(host), id="CONNECT without a port"),
    pytest.param(lambda host: request("GET", f"http://{host}/", host=host), id="http"),
    pytest.param(lambda host: request("GET", f"https://{host}/", host=host), id="https"),
    pytest.param(lambda host: request("POST", f"http://{host}/", host=host), id="POST"),
    pytest.param(lambda host: request("GET", f"http://{host}/blobs/x", host=host), id="blobs"),
    pytest.param(lambda host: request("GET", "/", host=host), id="origin form"),
    pytest.param(lambda host: request("OPTIONS", "*", host=host), id="asterisk form"),
]
OURS_WRONGLY = [
    *(connect(f"{NAME}:80"), connect(f"{LISTED}:80"), connect(NAME), connect(f"{LISTED}:4430")),
    *(request("GET", f"https://{NAME}/v2/"), request("GET", f"http://{NAME}/v2/")),
    *(request("GET", f"http://{LISTED}/", host=LISTED), request("GET", "/v2/")),
]


@pytest.mark.parametrize("form", FORMS)
async def test_whoever_else_is_asked_for_nothing_is_dialled(
    scene: Scene, form: Callable[[str], bytes]
) -> None:
    for host in FOREIGN:
        answer = await ask(scene, form(host))
        assert answer.status == 403, host
        assert answer.fields["Content-Type"].startswith("text/plain")
    assert scene.outlet.names == []


@pytest.mark.parametrize("content", OURS_WRONGLY)
async def test_our_own_and_listed_names_are_reached_in_no_other_way(
    scene: Scene, content: bytes
) -> None:
    assert (await ask(scene, content)).status == 403
    assert scene.outlet.names == []


async def test_a_refusal_names_the_setting_where_go_shows_it(scene: Scene) -> None:
    async with scene.dial() as wire:
        wire.send(connect("google.com:443"))
        status, _, rest = (await wire.rest()).partition(b"\r\n")
    sentence = b"google.com is not in proxy.tunnel, the names that this box tunnels to"
    assert status == b"HTTP/1.1 403 " + sentence
    assert rest.endswith(b"\r\n\r\n" + sentence + b"\n")


async def test_a_request_of_this_box_s_own_is_a_loop(scene: Scene) -> None:
    via = f"Via: 1.1 other, 1.1 {PSEUDONYM}"
    assert (await ask(scene, connect(f"{LISTED}:443", via))).status == 508
    assert scene.outlet.names == []


async def test_a_client_from_elsewhere_is_closed_at_once(open_scene: OpenScene) -> None:
    async with open_scene(is_allowed=lambda _: False) as scene, scene.dial() as wire:
        assert await wire.rest() == b""


async def test_one_connection_too_many_is_closed_and_the_others_go_on(
    open_scene: OpenScene,
) -> None:
    turnstile = Turnstile(lambda _: False, connections_max=8)
    async with open_scene(turnstile=turnstile) as scene:
        async with scene.connect(f"{NAME}:443", NAME) as first, scene.dial():
            async with scene.dial() as third:
                assert await third.rest() == b""
            assert (await first.ask(request("GET", "/v2/"))).status == 200
        await scene.door.settle()
        assert await scene.still_serves()
    assert turnstile.connection_count == 0


async def test_a_rule_that_cannot_be_told_lets_nobody_in(open_scene: OpenScene) -> None:
    def broken(_: str) -> bool:
        raise RuntimeError("no interfaces")

    async with open_scene(is_allowed=broken) as scene, scene.dial() as wire:
        wire.send(connect(f"{LISTED}:443"))
        assert await wire.rest() == b""
        assert scene.outlet.names == []


# What cannot be read, is too large or too slow.

CONNECTS = [
    pytest.param(connect(f"{LISTED}:443", host=NAME), id="another Host"),
    pytest.param(connect(f"{LISTED}:443", f"Host: {LISTED}"), id="two Hosts"),
    pytest.param(connect(f"{LISTED}:443").replace(b"Host:", b"X-Host:"), id="no Host"),
    pytest.param(connect(f"{LISTED}:443", "X-A: b\r\n c"), id="obsolete line folding"),
    pytest.param(connect(f"{LISTED}:443", "X-A: b\0"), id="NUL"),
    pytest.param(connect(f"{LISTED}:443", "X-A: b\rX-B: c"), id="CR"),
    pytest.param(connect(f"{LISTED}:443", "X-A: b\nX-B: c"), id="LF"),
    pytest.param(connect(f"{LISTED}:443", "Content-Length: 4") + b"body", id="a body"),
    pytest.param(
        connect(f"{LISTED}:443", "Transfer-Encoding: chunked") + b"0\r\n\r\n", id="a chunked body"
    ),
    pytest.param(
        connect(f"{LISTED}:443", "Content-Length: 0", "Transfer-Encoding: chunked"), id="CL+TE"
    ),
    pytest.param(connect(f"{LISTED}:443", "Content-Length: 0", "Content-Length: 0"), id="two CL"),
    pytest.param(connect(f"{LISTED}:443").replace(b"1.1", b"2.0"), id="HTTP/2.0"),
    pytest.param(connect(f"{LISTED}:443").replace(b"1.1", b"1.2"), id="HTTP/1.2"),
    pytest.param(connect(f"user@{LISTED}:443", host=LISTED), id="a user's name"),
    pytest.param(connect(f"{LISTED}:443:443", host=LISTED), id="two ports"),
    pytest.param(connect(f"{LISTED}:0443x", host=LISTED), id="a port that is none"),
    pytest.param(connect(f"{LISTED}\xff:443", host=LISTED), id="a name outside ASCII"),
    pytest.param(b"CONNECT  ollama.com:443 HTTP/1.1\r\nHost: ollama.com\r\n\r\n", id="two spaces"),
    pytest.param(b"\r\n\r\n" + connect(f"{LISTED}:443"), id="empty lines before"),
    pytest.param(b"\x16\x03\x01\x00\x05hello\r\n\r\n", id="TLS at once"),
]


@pytest.mark.parametrize("content", CONNECTS)
async def test_a_connect_that_can_be_read_in_two_ways_is_refused(
    scene: Scene, no_crash: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with scene.dial() as wire:
        wire.send(content)
        answer = await wire.answer()
        assert answer is None or 400 <= answer.status < 500
    assert scene.outlet.names == []
    assert await scene.still_serves()


@pytest.mark.parametrize("content", [*AMBIGUOUS, *GARBAGE])
async def test_the_tls_door_s_corpus_is_refused_at_the_proxy_door(
    scene: Scene, no_crash: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with scene.dial() as wire:
        wire.send(content)
        if content.startswith(f"CONNECT {NAME}:443".encode()):
            assert await wire.reader.readuntil(b"\r\n\r\n") == tunnel._ESTABLISHED
        else:
            answer = await wire.answer()
            assert answer is None or 400 <= answer.status < 500
    assert scene.outlet.names == []
    assert await scene.still_serves()


@pytest.mark.parametrize("content", AMBIGUOUS)
async def test_the_tls_door_s_corpus_is_refused_inside_a_connect(
    open_scene: OpenScene, no_crash: pytest.LogCaptureFixture, content: bytes
) -> None:
    async with RawOrigin().serve() as origin, open_scene(f"http://{NAME}:{origin.port}") as scene:
        async with scene.connect(f"{NAME}:443", NAME) as wire:
            wire.send(content)
            answer = await wire.answer()
            assert answer is None or 400 <= answer.status < 500
        await scene.door.settle()
        assert origin.connection_count == 0


async def test_a_large_head_is_refused_and_not_kept(scene: Scene) -> None:
    async with scene.dial() as wire:
        wire.send(b"CONNECT ollama.com:443 HTTP/1.1\r\nHost: ollama.com:443\r\nX-Padding: ")
        try:
            for _ in range(80):  # 5 MiB
                wire.send(b"a" * HEAD_SIZE_BYTES_MAX)
                await wire.writer.drain()
        except OSError:
            pass
        answer = await wire.answer()
        assert answer is None or answer.status == 431
    assert await scene.still_serves()


async def test_a_head_that_drips_is_closed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "HEAD_SECONDS_MAX", 0.1)
    async with scene.dial() as wire:
        wire.send(b"CONNECT ollama.com:443 HTTP/1.1\r\nX-A: ")
        assert await wire.drip(b"a") is None
    assert await scene.still_serves()


@pytest.mark.parametrize("begun", [b"", b"C", b"CONNECT ollama.com:443 HTTP/1.1\r\nHost: oll"])
async def test_a_slow_head_is_closed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(tunnel, "HEAD_SECONDS_MAX", 0.05)
    async with scene.dial() as wire:
        wire.send(begun)
        assert await wire.rest() == b""


@given(contents=st.lists(requests_of_any_kind(), min_size=1, max_size=4))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_give_a_valid_answer_or_a_closed_connection(
    open_scene: OpenScene,
    no_crash: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    contents: list[bytes],
) -> None:
    monkeypatch.setattr(tunnel, "HEAD_SECONDS_MAX", 0.05)

    async def send_them() -> None:
        async with open_scene() as scene:
            async with scene.dial() as wire:
                wire.send(b"".join(contents) + b"\r\n\r\n")
                await wire.answers()
            assert scene.outlet.names == []
            assert await scene.still_serves()

    asyncio.run(send_them())


# Blobs in the clear.


def absolute(scene: Scene, target: str, *lines: str, method: str = "GET") -> bytes:
    authority = f"127.0.0.1:{scene.http_port}"
    return request(method, f"http://{authority}{target}", *lines, host=authority)


async def test_the_box_s_own_blob_urls_are_served_whole_in_ranges_and_as_heads(
    scene: Scene,
) -> None:
    scene.door.shop.keep("tiny", LAYER)
    target = scene.door.shop.grant("tiny", LAYER)
    assert (await ask(scene, absolute(scene, target))).body == LAYER
    part = await ask(scene, absolute(scene, target, "Range: bytes=5-9", "Proxy-Connection: a"))
    assert (part.status, part.body) == (206, LAYER[5:10])
    head = await ask(scene, absolute(scene, target, method="HEAD"))
    assert head.fields["Content-Length"] == str(len(LAYER))
    assert scene.outlet.names == []


async def test_a_blob_url_may_name_any_address_of_the_box(scene: Scene) -> None:
    scene.door.shop.keep("tiny", LAYER)
    target = scene.door.shop.grant("tiny", LAYER)
    authority = f"192.0.2.5:{scene.http_port}"
    asked = request("GET", f"http://{authority}{target}", host=authority)
    assert (await ask(scene, asked)).status == 403
    scene.own.append("192.0.2.5")
    assert (await ask(scene, asked)).body == LAYER


async def test_a_blob_url_without_its_grant_is_denied(scene: Scene) -> None:
    scene.door.shop.keep("tiny", LAYER)
    target = scene.door.shop.grant("tiny", LAYER).partition("?")[0]
    assert (await ask(scene, absolute(scene, target))).status == 403


async def test_credentials_of_a_request_in_the_clear_are_not_passed_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    answer = Registry.answer

    async def note(registry: Registry, request: Any) -> Any:
        asked.append(request)
        return await answer(registry, request)

    monkeypatch.setattr(Registry, "answer", note)
    scene.door.shop.keep("tiny", LAYER)
    target = scene.door.shop.grant("tiny", LAYER)
    fields = ("Authorization: Bearer x", "Proxy-Authorization: Basic eDp5", "Range: bytes=0-0")
    assert (await ask(scene, absolute(scene, target, *fields))).body == LAYER[:1]
    assert [(each.has_authorization, each.range_field) for each in asked] == [(False, "bytes=0-0")]


async def test_one_connection_in_the_clear_is_good_for_one_request(scene: Scene) -> None:
    scene.door.shop.keep("tiny", LAYER)
    target = scene.door.shop.grant("tiny", LAYER)
    async with scene.dial() as wire:
        wire.send(absolute(scene, target) + request("GET", "http://google.com/", host="google.com"))
        answers = await wire.answers()
    assert [answer.body for answer in answers] == [LAYER]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_in_the_clear_nothing_is_written(scene: Scene, method: str) -> None:
    target = scene.door.shop.grant("tiny", LAYER)
    answer = await ask(scene, absolute(scene, target, method=method))
    assert answer.status == 403
    assert b"HTTPS_PROXY" in answer.body
