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

CLIENT = "10.0.0.9"
ZONE = zone("www.lan 300 A 10.0.0.80\nmany.lan 300 TXT " + " ".join(["x" * 200] * 5))


async def forward(
    *servers: tuple[str, int], name: str = "www.lan", rtype: str = "A", is_tcp: bool = False
) -> list[str]:
    return records(await Forwarder(servers).forward(query(name, rtype), CLIENT, is_tcp=is_tcp))


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
        replies = [await forwarder.forward(asked, CLIENT, is_tcp=False) for _ in range(4)]
    assert all(each[:2] == asked.packet[:2] for each in replies)
    assert len({each[:2] for each in server.heard}) > 1
    assert len(set(server.ports)) > 1


async def test_the_rest_of_a_query_passes_as_it_is() -> None:
    async with NameServer(ZONE) as server:
        asked = query("www.lan", udp_len=900)
        await Forwarder([server.at]).forward(asked, CLIENT, is_tcp=False)
    assert [each[2:] for each in server.heard] == [asked.packet[2:]]


async def test_a_client_gets_its_own_mix_of_cases_back() -> None:
    def lowered(packet: bytes, is_tcp: bool) -> bytes | None:
        return ZONE(packet[:12] + packet[12:].lower(), is_tcp)

    async with NameServer(lowered) as server:
        asked = query("wWw.LaN")
        reply = await Forwarder([server.at]).forward(asked, CLIENT, is_tcp=False)
    assert reply[12 : asked.question_stop] == asked.packet[12 : asked.question_stop]
    assert records(reply) == ["10.0.0.80"]


async def test_truncation_is_passed_on_and_tcp_brings_the_rest() -> None:
    async with NameServer(ZONE) as server:
        forwarder = Forwarder([server.at])
        short = await forwarder.forward(query("many.lan", "TXT"), CLIENT, is_tcp=False)
        whole = await forwarder.forward(query("many.lan", "TXT"), CLIENT, is_tcp=True)
    assert DNSRecord.parse(short).header.tc == 1
    assert len(whole) > 1000


async def test_a_server_that_sends_more_than_its_client_takes_is_cut_short() -> None:
    async with NameServer(lambda packet, _: ZONE(packet, True)) as server:
        reply = await Forwarder([server.at]).forward(query("many.lan", "TXT"), CLIENT, is_tcp=False)
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
            assert records(await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False)) == [
                "10.0.0.80"
            ]
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
        reply = await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False, is_brief=True)
    assert [each.ttl for each in DNSRecord.parse(reply).rr] == [30]


async def test_what_must_be_forgotten_and_cannot_be_read_is_not_passed_on() -> None:
    async with NameServer(lambda packet, _: ZONE(packet, False)[:-2]) as server:  # type: ignore[index]
        forwarder = Forwarder([server.at])
        reply = await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False, is_brief=True)
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
            group.create_task(forwarder.forward(query(f"{each}.lan"), CLIENT, is_tcp=False))
            for each in range(2)
        ]
        await heard.wait()
        assert records(await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False)) == [
            "rcode 2"
        ]
        for task in waiting:
            task.cancel()
    async with NameServer(ZONE) as server:
        forwarder.servers = (server.at,)
        assert records(await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False)) == [
            "10.0.0.80"
        ]


# Loops, and questions asked by many at once.


async def test_equal_questions_share_one_way_and_each_gets_its_own_reply() -> None:
    asked = [query("www.lan"), query("wWw.lAn"), query("www.lan", "TXT")]
    packets: list[bytes] = []
    together = asyncio.Event()

    def gather(packet: bytes, is_tcp: bool) -> None:
        packets.append(packet)
        if len(packets) == 2:
            together.set()

    async with NameServer(gather) as server, asyncio.TaskGroup() as group:
        forwarder = Forwarder([server.at])
        waiting = [
            group.create_task(forwarder.forward(each, CLIENT, is_tcp=False)) for each in asked
        ]
        await together.wait()
        for packet, port in zip(packets, server.ports, strict=True):
            server.send(ZONE(packet, True) or b"", ("127.0.0.1", port))
        replies = [await each for each in waiting]
    assert len(server.heard) == 2
    assert [records(each) for each in replies[:2]] == [["10.0.0.80"]] * 2
    for reply, each in zip(replies, asked, strict=True):
        assert reply[:2] == each.packet[:2]
        assert reply[12 : each.question_stop] == each.packet[12 : each.question_stop]


async def test_who_asked_first_may_go_and_the_others_learn_that_nobody_was_asked() -> None:
    heard = asyncio.Event()

    def slow(packet: bytes, is_tcp: bool) -> None:
        heard.set()

    async with NameServer(slow) as server, asyncio.TaskGroup() as group:
        forwarder = Forwarder([server.at])
        first, second = (
            group.create_task(forwarder.forward(query("www.lan"), CLIENT, is_tcp=False))
            for _ in range(2)
        )
        await heard.wait()
        first.cancel()
        assert records(await second) == ["rcode 2"]


@pytest.mark.parametrize("is_tcp", [False, True])
async def test_a_server_that_asks_us_what_we_ask_it_is_told_at_once_and_the_next_is_asked(
    is_tcp: bool,
) -> None:
    """The router's own address; in another mix of cases, and by the other transport."""
    asked_back: list[bytes] = []

    def router(packet: bytes, _: bool) -> None:
        back = query("wWw.LAN", udp_len=1400)
        task = loop.create_task(forwarder.forward(back, "127.0.0.1", is_tcp=is_tcp))
        task.add_done_callback(lambda done: answer(packet, done.result()))

    def answer(packet: bytes, reply: bytes) -> None:
        asked_back.append(reply)
        looping.send(failing("SERVFAIL")(packet, False) or b"", ("127.0.0.1", looping.ports[-1]))

    loop = asyncio.get_running_loop()
    async with NameServer(router) as looping, NameServer(ZONE) as second:
        forwarder = Forwarder([looping.at, second.at])
        reply = await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False)
    assert [records(each) for each in asked_back] == [["rcode 2"]]
    assert records(reply) == ["10.0.0.80"]


async def test_programs_beside_a_server_on_our_own_machine_may_ask_the_same_at_once() -> None:
    asked = asyncio.Event()

    def slow(packet: bytes, _: bool) -> bytes | None:
        asked.set()
        return ZONE(packet, False) if len(server.heard) > 1 else None

    async with NameServer(slow) as server, asyncio.TaskGroup() as group:
        forwarder = Forwarder([server.at])
        forwarder.own = frozenset({"127.0.0.1"})
        group.create_task(forwarder.forward(query("www.lan"), "127.0.0.1", is_tcp=False))
        await asked.wait()
        again = query("www.lan", udp_len=1400)
        reply = await forwarder.forward(again, "127.0.0.1", is_tcp=False)
        assert records(reply) == ["10.0.0.80"]


async def test_a_server_may_ask_us_what_is_not_under_way() -> None:
    async with NameServer(ZONE) as server:
        reply = await Forwarder([server.at]).forward(query("www.lan"), "127.0.0.1", is_tcp=False)
    assert records(reply) == ["10.0.0.80"]


async def test_of_one_question_only_so_many_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop by way of somebody whom we do not ask, who changes each question a little."""
    monkeypatch.setattr(forwarder_module, "SAME_QUESTION_MAX", 3)
    monkeypatch.setattr(forwarder_module, "TRY_SECONDS", 0.2)
    async with asyncio.TaskGroup() as group:

        def onwards(packet: bytes, is_tcp: bool) -> None:
            changed = query("www.lan", udp_len=600 + len(server.heard))
            group.create_task(forwarder.forward(changed, CLIENT, is_tcp=False))

        async with NameServer(onwards) as server:
            forwarder = Forwarder([server.at])
            reply = await forwarder.forward(query("www.lan"), CLIENT, is_tcp=False)
            assert len(server.heard) == 3
    assert records(reply) == ["rcode 2"]
