"""Real sockets: UDP and TCP, several addresses, rude clients, and garbage."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_interface

import pytest

from appliance.dns import forwarder as forwarder_module
from appliance.dns import server as server_module
from appliance.dns.answerer import Answerer
from appliance.dns.forwarder import Forwarder
from appliance.dns.server import DnsServer, bind_both
from appliance.dns.settings import Beat, Settings
from appliance.dns.wire import QUERY_SIZE_BYTES_MAX
from appliance.policy.addresses import Interface
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import (
    REGISTRY,
    by_tcp,
    by_udp,
    gives,
    packet,
    read_message,
    records,
    until_true,
)
from tests.fakes.wire import dial

ZONE = zone("www.lan 300 A 10.0.0.80\nmany.lan 300 TXT " + " ".join(["x" * 200] * 5))
LAN = Interface("eth0", (ip_interface("192.168.1.5/24"),))


@asynccontextmanager
async def running(*upstream: tuple[str, int], port: int = 0) -> AsyncIterator[DnsServer]:
    answerer = Answerer(Settings("/state", 0, (REGISTRY,), "ollama-blobs.home.arpa"))
    answerer.learn_interfaces([LAN])
    answerer.learn_beat(Beat(is_healthy=True))
    async with DnsServer(answerer, Forwarder(upstream), port) as server:
        await server.listen_at(["127.0.0.1"])
        yield server


def at(server: DnsServer, address: str = "127.0.0.1") -> tuple[str, int]:
    return next(each for each in server.listening if each[0] == address)


async def test_own_and_foreign_questions_are_answered_by_udp() -> None:
    async with NameServer(ZONE) as upstream, running(upstream.at) as server:
        assert records(await by_udp(at(server), packet(REGISTRY))) == ["192.168.1.5"]
        assert records(await by_udp(at(server), packet("www.lan"))) == ["10.0.0.80"]


async def test_one_connection_carries_several_questions() -> None:
    async with NameServer(ZONE) as upstream, running(upstream.at) as server:
        replies = await by_tcp(
            at(server), packet(REGISTRY), packet("www.lan"), packet(REGISTRY, "AAAA")
        )
    assert [records(each) for each in replies] == [["192.168.1.5"], ["10.0.0.80"], []]


async def test_what_is_truncated_by_udp_comes_whole_by_tcp() -> None:
    async with NameServer(ZONE) as upstream, running(upstream.at) as server:
        short = await by_udp(at(server), packet("many.lan", "TXT"))
        (whole,) = await by_tcp(at(server), packet("many.lan", "TXT"))
    assert short[2] & 0x02
    assert len(whole) > 1000


async def test_each_address_answers_from_itself() -> None:
    async with running() as server:
        await server.listen_at(["127.0.0.1", "127.0.0.2"])
        for address in ("127.0.0.1", "127.0.0.2"):
            reply = await by_udp(at(server, address), packet(REGISTRY))  # Hears only this address.
            assert records(reply) == ["192.168.1.5"]


async def test_ipv6_has_sockets_of_its_own() -> None:
    async with running() as server:
        await server.listen_at(["127.0.0.1", "::1"])
        if "::1" in server.failures:
            pytest.skip("this machine has no IPv6")
        assert records(await by_udp(at(server, "::1"), packet(REGISTRY))) == ["192.168.1.5"]
        assert records((await by_tcp(at(server, "::1"), packet(REGISTRY)))[0]) == ["192.168.1.5"]


async def test_an_address_that_vanishes_is_closed_and_a_new_one_opened() -> None:
    async with running() as server:
        gone = at(server)
        await server.listen_at(["127.0.0.2"])
        assert [address for address, _ in server.listening] == ["127.0.0.2"]
        assert records(await by_udp(at(server, "127.0.0.2"), packet(REGISTRY))) == ["192.168.1.5"]
        with pytest.raises(ConnectionRefusedError):
            await by_tcp(gone, packet(REGISTRY))


async def test_an_address_that_is_taken_is_told_and_the_others_serve() -> None:
    other, tcp = bind_both("127.0.0.1", 0)  # Both, so that nobody else gets the TCP port meanwhile.
    with other, tcp:
        async with running(port=other.getsockname()[1]) as server:
            assert not server.listening
            await server.listen_at(["127.0.0.1", "127.0.0.2", "192.0.2.99", "nonsense"])
            assert [address for address, _ in server.listening] == ["127.0.0.2"]
            assert set(server.failures) == {"127.0.0.1", "192.0.2.99", "nonsense"}
            assert records(await by_udp(at(server, "127.0.0.2"), packet(REGISTRY)))
            other.close()
            tcp.close()
            await server.listen_at(["127.0.0.1", "127.0.0.2"])
            assert server.failures == {}


async def test_tcp_taken_on_a_fixed_port_leaves_no_udp_behind() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            bind_both("127.0.0.1", port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", port))


def test_no_port_for_both_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "PORT_TRIES_MAX", 0)
    with pytest.raises(OSError, match="no port is free"):
        bind_both("127.0.0.1", 0)


async def test_garbage_leaves_the_server_standing() -> None:
    noise = random.Random(1)
    async with running() as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for size in range(0, 600, 3):
                sock.sendto(noise.randbytes(size), at(server))
        for size in (1, 12, 600, QUERY_SIZE_BYTES_MAX):
            with pytest.raises(asyncio.IncompleteReadError):
                await by_tcp(at(server), b"\0\0\x80" + noise.randbytes(size)[3:] + b"\0" * 12)
        await until_true(lambda: gives(["192.168.1.5"], at(server), REGISTRY))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(struct.pack("!H", QUERY_SIZE_BYTES_MAX + 1), id="a message larger than any"),
        pytest.param(struct.pack("!H", 0), id="a message of nothing"),
        pytest.param(struct.pack("!H", 20), id="a message that does not come"),
        pytest.param(b"\0", id="half a length"),
        pytest.param(b"", id="nothing at all"),
    ],
)
async def test_a_connection_that_says_nothing_useful_is_closed(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.05)
    async with running() as server:
        reader, writer = await asyncio.open_connection(*at(server))
        writer.write(sent)
        assert await ended(reader)
        writer.close()


async def test_a_message_that_drips_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.1)
    async with running() as server, dial(at(server)[1]) as wire:
        wire.send(struct.pack("!H", QUERY_SIZE_BYTES_MAX))
        assert await wire.drip(b"\0") is None


async def ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_client_holds_a_few_connections_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS_PER_CLIENT_MAX", 2)
    async with running() as server:
        held = [await asyncio.open_connection(*at(server)) for _ in range(2)]
        for _, writer in held:
            writer.write(struct.pack("!H", len(packet(REGISTRY))) + packet(REGISTRY))
        for reader, _ in held:
            await read_message(reader)
        reader, refused = await asyncio.open_connection(*at(server))
        assert await ended(reader)
        for writer in (refused, *(each for _, each in held)):
            writer.close()
            await writer.wait_closed()
        for _ in range(4):
            assert records((await by_tcp(at(server), packet(REGISTRY)))[0]) == ["192.168.1.5"]


async def test_leaving_ends_connections_and_questions_in_flight() -> None:
    asked = asyncio.Event()

    def silent(packet: bytes, is_tcp: bool) -> None:
        asked.set()

    async with NameServer(silent) as upstream:
        async with running(upstream.at) as server:
            reader, writer = await asyncio.open_connection(*at(server))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(packet("www.lan"), at(server))
                await asked.wait()
        assert await ended(reader)
        writer.close()


async def test_an_error_of_the_one_inside_comes_out_as_it_is() -> None:
    with pytest.raises(KeyError):
        async with running():
            raise KeyError


async def test_two_boxes_that_ask_each_other_say_so_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without waiting for a try to end: that would take longer than a test may."""
    monkeypatch.setattr(forwarder_module, "TRY_SECONDS", 600.0)
    async with running() as first, running() as second:
        first._forwarder.servers, second._forwarder.servers = (at(second),), (at(first),)
        for name in ("www.lan", "WWW.lan", "other.lan"):
            assert records(await by_udp(at(first), packet(name))) == ["rcode 2"]
        assert records((await by_tcp(at(first), packet("www.lan")))[0]) == ["rcode 2"]
        assert await gives(["192.168.1.5"], at(first), REGISTRY)
