"""Forwarding, to real servers on loopback that are well, dead, slow or strange."""

import asyncio
import socket
from contextlib import AsyncExitStack

import pytest
from dnslib import DNSRecord

from appliance.dns import forwarder as forwarder_module
from appliance.dns.forwarder import Forwarder
from tests.appliance.dns.nameserver import NameServer, Respond, failing, silence, zone
from tests.appliance.dns.questions import query, records

ZONE = zone("www.lan 300 A 10.0.0.80\nmany.lan 300 TXT " + " ".join(["x" * 200] * 5))


async def forward(
    *servers: tuple[str, int], name: str = "www.lan", rtype: str = "A", is_tcp: bool = False
) -> list[str]:
    return records(await Forwarder(servers).forward(query(name, rtype), is_tcp=is_tcp))


def dead_server() -> tuple[str, int]:
    """An address that nobody listens at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        at: tuple[str, int] = sock.getsockname()
        return at


@pytest.mark.parametrize("is_tcp", [False, True])
async def test_the_answer_of_the_server_is_the_client_s(is_tcp: bool) -> None:
    async with NameServer(ZONE) as server:
        assert await forward(server.at, is_tcp=is_tcp) == ["10.0.0.80"]
        assert await forward(server.at, name="no.lan", is_tcp=is_tcp) == ["rcode 3"]


async def test_an_id_is_ours_on_the_way_out_and_the_client_s_on_the_way_back() -> None:
    async with NameServer(ZONE) as server:
        asked = query("www.lan")
        forwarder = Forwarder([server.at])
        replies = [await forwarder.forward(asked, is_tcp=False) for _ in range(4)]
    assert all(each[:2] == asked.packet[:2] for each in replies)
    assert len({each[:2] for each in server.heard}) > 1
    assert len(set(server.ports)) > 1


async def test_the_rest_of_a_query_passes_as_it_is() -> None:
    async with NameServer(ZONE) as server:
        asked = query("www.lan", udp_len=900)
        await Forwarder([server.at]).forward(asked, is_tcp=False)
    assert [each[2:] for each in server.heard] == [asked.packet[2:]]


async def test_a_client_gets_its_own_mix_of_cases_back() -> None:
    def lowered(packet: bytes, is_tcp: bool) -> bytes | None:
        return ZONE(packet[:12] + packet[12:].lower(), is_tcp)

    async with NameServer(lowered) as server:
        asked = query("wWw.LaN")
        reply = await Forwarder([server.at]).forward(asked, is_tcp=False)
    assert reply[12 : asked.question_stop] == asked.packet[12 : asked.question_stop]
    assert records(reply) == ["10.0.0.80"]


async def test_truncation_is_passed_on_and_tcp_brings_the_rest() -> None:
    async with NameServer(ZONE) as server:
        forwarder = Forwarder([server.at])
        short = await forwarder.forward(query("many.lan", "TXT"), is_tcp=False)
        whole = await forwarder.forward(query("many.lan", "TXT"), is_tcp=True)
    assert DNSRecord.parse(short).header.tc == 1
    assert len(whole) > 1000


async def test_a_server_that_sends_more_than_its_client_takes_is_cut_short() -> None:
    async with NameServer(lambda packet, _: ZONE(packet, True)) as server:
        reply = await Forwarder([server.at]).forward(query("many.lan", "TXT"), is_tcp=False)
    assert DNSRecord.parse(reply).header.tc == 1


@pytest.mark.parametrize(
    "bad", [failing("SERVFAIL"), failing("REFUSED")], ids=["failing", "refusing"]
)
async def test_the_next_server_is_asked(bad: Respond) -> None:
    async with NameServer(bad) as first, NameServer(ZONE) as second:
        assert await forward(first.at, second.at) == ["10.0.0.80"]
        assert await forward(dead_server(), second.at) == ["10.0.0.80"]
        assert await forward(dead_server(), second.at, is_tcp=True) == ["10.0.0.80"]


async def test_a_silent_server_costs_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "TRY_SECONDS", 0.05)
    async with NameServer(silence) as first, NameServer(ZONE) as second:
        forwarder = Forwarder([first.at, second.at])
        for _ in range(3):
            assert records(await forwarder.forward(query("www.lan"), is_tcp=False)) == ["10.0.0.80"]
        assert len(first.heard) == 1
        assert len(second.heard) == 3


async def test_all_dead_is_servfail() -> None:
    assert await forward(dead_server(), dead_server()) == ["rcode 2"]
    assert await forward() == ["rcode 2"]


async def test_all_failing_passes_the_first_failure_on() -> None:
    async with NameServer(failing("REFUSED")) as first, NameServer(failing("SERVFAIL")) as second:
        assert await forward(first.at, second.at) == ["rcode 5"]


async def test_an_error_without_its_question_is_passed_on() -> None:
    def terse(packet: bytes, is_tcp: bool) -> bytes:
        return packet[:2] + b"\x80\x01" + bytes(8)

    async with NameServer(terse) as server:
        assert await forward(server.at) == ["rcode 1"]


async def test_what_must_be_forgotten_soon_is_said_so() -> None:
    async with NameServer(ZONE) as server:
        forwarder = Forwarder([server.at])
        reply = await forwarder.forward(query("www.lan"), is_tcp=False, is_brief=True)
    assert [each.ttl for each in DNSRecord.parse(reply).rr] == [30]


async def test_what_must_be_forgotten_and_cannot_be_read_is_not_passed_on() -> None:
    async with NameServer(lambda packet, _: ZONE(packet, False)[:-2]) as server:  # type: ignore[index]
        forwarder = Forwarder([server.at])
        reply = await forwarder.forward(query("www.lan"), is_tcp=False, is_brief=True)
    assert records(reply) == ["rcode 2"]


async def test_too_much_in_flight_is_servfail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder_module, "IN_FLIGHT_MAX", 2)
    heard = asyncio.Event()

    def slow(packet: bytes, is_tcp: bool) -> None:
        if len(server.heard) == 2:
            heard.set()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(NameServer(slow))
        forwarder = Forwarder([server.at])
        group = await stack.enter_async_context(asyncio.TaskGroup())
        waiting = [
            group.create_task(forwarder.forward(query("www.lan"), is_tcp=False)) for _ in range(2)
        ]
        await heard.wait()
        assert records(await forwarder.forward(query("www.lan"), is_tcp=False)) == ["rcode 2"]
        for task in waiting:
            task.cancel()
    async with NameServer(ZONE) as server:
        forwarder.servers = (server.at,)
        assert records(await forwarder.forward(query("www.lan"), is_tcp=False)) == ["10.0.0.80"]
