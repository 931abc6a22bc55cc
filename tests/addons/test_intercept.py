"""Which connections the TLS door opens, tried with real handshakes and counted sockets."""

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from addons import intercept
from appliance.certs import Authority
from appliance.policy.turnstile import Turnstile
from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.wire import RawOrigin, dial

HELLO_START = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def anything() -> ssl.SSLContext:
    """A client that verifies nothing, so that only the door's own refusal is seen."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_certificate(writer: asyncio.StreamWriter) -> bytes:
    made: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return made


@pytest.mark.parametrize(
    "name", ["ollama.ai", "google.com", "evilregistry.ollama.ai", "a.registry.ollama.ai"]
)
async def test_another_name_gets_no_certificate_and_no_upstream_socket(
    open_door: OpenDoor, name: str
) -> None:
    async with RawOrigin().serve() as origin, open_door(f"http://{NAME}:{origin.port}") as door:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with dial(door.port, trusted=anything(), name=name):
                pass
        await door.settle()
        assert origin.connection_count == 0
        assert await door.still_serves()


@pytest.mark.parametrize("name", ["", "127.0.0.1"], ids=["no SNI", "an address"])
async def test_a_hello_without_a_name_gets_no_certificate(door: Door, name: str) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with dial(door.port, trusted=anything(), name=name):
            pass
    await door.settle()


async def test_our_name_is_opened_with_a_chain_that_verifies(door: Door) -> None:
    async with door.dial() as wire:
        assert (await wire.ask(request("GET", "/v2/"))).status == 200


async def test_our_name_in_capitals_is_ours(door: Door) -> None:
    async with dial(door.port, trusted=anything(), name=NAME.upper()) as wire:
        assert (await wire.ask(request("GET", "/v2/"))).status == 200


async def test_of_h2_and_http_1_1_the_door_takes_http_1_1(door: Door) -> None:
    async with door.dial() as wire:
        assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_a_client_of_h2_alone_is_given_no_protocol(door: Door) -> None:
    context = anything()
    context.set_alpn_protocols(["h2"])
    async with dial(door.port, trusted=context, name=NAME) as wire:
        assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
        wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert all(400 <= answer.status < 500 for answer in await wire.answers())


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: registry.ollama.ai\r\n\r\n", id="HTTP in the clear"),
        pytest.param(b"CONNECT registry.ollama.ai:443 HTTP/1.1\r\n\r\n", id="CONNECT"),
        pytest.param(b"\x00", id="one byte"),
        pytest.param(b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00", id="a record of SSL 2"),
        pytest.param(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", id="a handshake, but no hello"),
        pytest.param(b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\xff\xff\xff\xff", id="half a hello"),
        pytest.param(b"\x15\x03\x01\x00\x02\x01\x00", id="an alert"),
    ],
)
async def test_what_is_no_hello_closes_the_connection(door: Door, content: bytes) -> None:
    async with dial(door.port) as wire:
        wire.send(content)
        assert not (await wire.rest()).startswith(b"HTTP")
    await door.settle()


async def test_a_hello_as_large_as_its_length_may_say_is_not_waited_for(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    record = b"\x16\x03\x01\x40\x00"
    async with dial(door.port) as wire:
        wire.send(record + b"\x01\xff\xff\xff" + bytes(0x4000 - 4))
        for _ in range(16):
            wire.send(record + bytes(0x4000))
        await wire.rest()
    await door.settle()
    assert all(len(each.getMessage()) < 1000 for each in caplog.records)


@pytest.mark.parametrize("begun", [b"", b"\x16", HELLO_START], ids=["nothing", "a byte", "a part"])
async def test_a_handshake_that_takes_too_long_is_closed(
    door: Door, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(intercept, "HEAD_SECONDS_MAX", 0.05)
    async with dial(door.port) as wire:
        wire.send(begun)
        assert await wire.rest() == b""
    await door.settle()


async def test_a_hello_that_drips_is_closed(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intercept, "HEAD_SECONDS_MAX", 0.1)
    async with dial(door.port) as wire:
        wire.send(b"\x16\x03\x01\x40\x00\x01")
        assert await wire.drip(b"\0") is None
    await door.settle()


async def test_a_client_from_elsewhere_is_closed_at_once(open_door: OpenDoor) -> None:
    async with open_door(is_allowed=lambda _: False) as door:
        async with dial(door.port) as wire:
            assert await wire.rest() == b""
        await door.settle()


async def test_one_connection_too_many_is_closed_and_the_others_go_on(open_door: OpenDoor) -> None:
    turnstile = Turnstile(lambda _: False, connections_max=8)
    async with open_door(turnstile=turnstile) as door:
        async with door.dial() as first, door.dial() as second:
            assert (await first.ask(request("GET", "/v2/"))).status == 200
            assert (await second.ask(request("GET", "/v2/"))).status == 200
            async with dial(door.port) as third:
                assert await third.rest() == b""
            assert (await first.ask(request("GET", "/v2/"))).status == 200
        await door.settle()
        assert await door.still_serves()
    assert turnstile.connection_count == 0


async def test_a_rule_that_cannot_be_told_lets_nobody_in(open_door: OpenDoor) -> None:
    def broken(_: str) -> bool:
        raise OSError("no interfaces")

    async with open_door(is_allowed=broken) as door:
        async with dial(door.port) as wire:
            assert await wire.rest() == b""
        await door.settle()


async def test_a_new_leaf_is_served_to_the_next_connection(
    door: Door, authority: Authority
) -> None:
    async with door.dial() as earlier:
        before = peer_certificate(earlier.writer)
        door.leaves.append(authority.issue((NAME,), now=datetime.now(UTC)))
        async with door.dial() as later:
            assert peer_certificate(later.writer) != before
            assert (await later.ask(request("GET", "/v2/"))).status == 200
        assert (await earlier.ask(request("GET", "/v2/"))).status == 200


async def test_a_client_that_leaves_in_its_handshake_leaves_nothing(door: Door) -> None:
    async with dial(door.port) as wire:
        wire.send(HELLO_START)
        wire.writer.write_eof()
        await wire.rest()
    await door.settle()
    assert await door.still_serves()


def test_no_certificate_authority_of_mitmproxy_s_is_ever_made() -> None:
    """Its own addon would, in each of these hooks."""
    addon = intercept.Intercept(frozenset(), _no_leaf, lambda _: True)
    addon.configure({"confdir"})
    addon.running()
    assert addon.certstore is None


def _no_leaf() -> Any:
    raise AssertionError("not asked")
