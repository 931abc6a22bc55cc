"""The box's own look-ups, against real servers on loopback."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from dnslib import DNSRecord

from appliance.policy.addresses import AddressRefusedError
from appliance.upstream import resolver as resolver_module
from appliance.upstream.resolver import NameUnresolvableError, Resolver, ask
from tests.appliance.dns.nameserver import (
    NameServer,
    Respond,
    by_name,
    failing,
    silence,
    zone,
)

HOST = "registry.ollama.ai"
ZONE = zone(
    f"""
{HOST} 60 A 203.0.113.1
{HOST} 60 A 203.0.113.2
{HOST} 60 AAAA 2001:db8::1
www.lan 60 CNAME edge.lan
edge.lan 60 CNAME pop.lan
pop.lan 60 A 203.0.113.3
private.lan 60 A 192.168.1.5
mixed.lan 60 A 10.0.0.1
mixed.lan 60 A 203.0.113.4
box.lan 60 A 203.0.113.99
loop.lan 60 CNAME loop.lan
text.lan 60 TXT hello
"""
    + "\n".join(f"many.lan 60 A 203.0.113.{number}" for number in range(100))
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(resolver_module, "monotonic", clock)
    return clock


def resolver(*servers: NameServer, allow_private: bool = False) -> Resolver:
    return Resolver(
        [each.at for each in servers],
        allow_private=allow_private,
        own_addresses=lambda: frozenset({"203.0.113.99"}),
    )


async def gone() -> NameServer:
    async with NameServer(ZONE) as server:
        return server


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        (HOST, ("203.0.113.1", "203.0.113.2", "2001:db8::1")),
        ("Registry.Ollama.AI.", ("203.0.113.1", "203.0.113.2", "2001:db8::1")),
        ("www.lan", ("203.0.113.3",)),
        ("mixed.lan", ("203.0.113.4",)),
        ("many.lan", tuple(f"203.0.113.{number}" for number in range(100) if number != 99)),
        ("203.0.113.7", ("203.0.113.7",)),
        ("2001:db8::7", ("2001:db8::7",)),
    ],
)
async def test_a_host_s_addresses(host: str, addresses: tuple[str, ...]) -> None:
    async with NameServer(ZONE) as server:
        assert await resolver(server).resolve(host) == addresses


@pytest.mark.parametrize("host", ["private.lan", "box.lan", "127.0.0.1", "::1", "10.0.0.1"])
async def test_what_must_not_be_dialled_is_refused(host: str) -> None:
    async with NameServer(ZONE) as server:
        with pytest.raises(AddressRefusedError):
            await resolver(server).resolve(host)


@pytest.mark.parametrize(
    ("host", "addresses"), [("private.lan", ("192.168.1.5",)), ("127.0.0.1", ("127.0.0.1",))]
)
async def test_an_origin_on_the_lan_may_be_allowed(host: str, addresses: tuple[str, ...]) -> None:
    async with NameServer(ZONE) as server:
        assert await resolver(server, allow_private=True).resolve(host) == addresses


async def test_a_server_that_lies_is_passed_over_for_the_next() -> None:
    """A captive portal's, or one that asks the box."""
    async with NameServer(zone(f"{HOST} 60 A 10.0.0.1")) as first, NameServer(ZONE) as second:
        assert (await resolver(first, second).resolve(HOST))[0] == "203.0.113.1"


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "NXDOMAIN", "NOTIMP"])
async def test_a_server_that_fails_is_passed_over_for_the_next(code: str) -> None:
    async with NameServer(failing(code)) as first, NameServer(ZONE) as second:
        assert (await resolver(first, second).resolve(HOST))[0] == "203.0.113.1"


async def test_a_dead_server_is_passed_over_for_the_next() -> None:
    async with NameServer(ZONE) as server:
        assert (await resolver(await gone(), server).resolve(HOST))[0] == "203.0.113.1"


async def test_a_silent_server_costs_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "TRY_SECONDS", 0.5)
    async with NameServer(silence) as first, NameServer(ZONE) as second:
        assert (await resolver(first, second).resolve(HOST))[0] == "203.0.113.1"
    assert len(first.heard) == 2


async def test_one_kind_of_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some servers never answer AAAA."""

    def deaf(packet: bytes, is_tcp: bool) -> bytes | None:
        return ZONE(packet, is_tcp) if DNSRecord.parse(packet).q.qtype == 1 else None

    monkeypatch.setattr(resolver_module, "TRY_SECONDS", 0.5)
    async with NameServer(deaf) as server:
        assert await resolver(server).resolve(HOST) == ("203.0.113.1", "203.0.113.2")


@pytest.mark.parametrize("host", ["nowhere.lan", "loop.lan", "text.lan", "."])
async def test_a_host_without_an_address_is_unresolvable(host: str) -> None:
    async with NameServer(ZONE) as server:
        with pytest.raises(NameUnresolvableError) as caught:
            await resolver(server).resolve(host)
    assert "know no address" in caught.value.hint


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "a." * 130, "\udc80"])
async def test_a_name_that_is_none_is_asked_of_nobody(host: str) -> None:
    async with NameServer(ZONE) as server:
        with pytest.raises(NameUnresolvableError):
            await resolver(server).resolve(host)
    assert server.heard == []


async def test_no_server_at_all_is_told() -> None:
    with pytest.raises(NameUnresolvableError) as caught:
        await resolver().resolve(HOST)
    assert "dns.upstream" in caught.value.hint


GARBLED: list[Callable[[bytes], bytes]] = [
    lambda reply: reply[:-1],
    lambda reply: reply[:36] + b"\xc0\x0c" * 2000,
    lambda reply: reply[:6] + b"\xff\xff" + reply[8:],
]


@pytest.mark.parametrize("garble", GARBLED)
async def test_a_garbled_answer_counts_as_none(garble: Callable[[bytes], bytes]) -> None:
    def respond(packet: bytes, is_tcp: bool) -> bytes:
        return garble(ZONE(packet, is_tcp) or b"")

    async with NameServer(respond) as server:
        with pytest.raises(NameUnresolvableError) as caught:
            await resolver(server).resolve(HOST)
    assert "no DNS server answers" in caught.value.hint


async def test_ids_are_random() -> None:
    async with NameServer(ZONE) as server:
        await resolver(server).resolve(HOST)
        await resolver(server).resolve("www.lan")
    assert len({each[:2] for each in server.heard}) > 1


@pytest.mark.parametrize(("ttl_seconds", "kept_seconds"), [(0, 5), (60, 60), (86400, 300)])
async def test_an_answer_is_kept_for_its_lifetime_within_bounds(
    ttl_seconds: int, kept_seconds: int, clock: Clock
) -> None:
    async with NameServer(zone(f"{HOST} {ttl_seconds} A 203.0.113.1")) as server:
        known = resolver(server)
        await known.resolve(HOST)
        clock.now += kept_seconds - 0.01
        await known.resolve(HOST)
        assert len(server.heard) == 2
        clock.now += 0.01
        await known.resolve(HOST)
        assert len(server.heard) == 4


async def test_the_last_good_answer_outlives_its_servers(clock: Clock) -> None:
    async with NameServer(ZONE) as server:
        known = resolver(server)
        assert known.last_known(HOST) == ()
        before = await known.resolve(HOST)
    clock.now += 86400
    assert await known.resolve(HOST) == before
    assert known.last_known("Registry.ollama.ai.") == before


async def test_while_servers_are_dead_they_are_not_asked_each_time(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "TRY_SECONDS", 0.5)
    answer: list[Respond] = [ZONE]
    async with NameServer(lambda packet, is_tcp: answer[0](packet, is_tcp)) as server:
        known = resolver(server)
        await known.resolve(HOST)
        clock.now += 86400
        answer[0] = silence
        await known.resolve(HOST)
        count = len(server.heard)
        await known.resolve(HOST)
        assert len(server.heard) == count


async def test_a_host_that_is_gone_is_not_answered_from_memory(clock: Clock) -> None:
    answer: list[Respond] = [ZONE]
    async with NameServer(lambda packet, is_tcp: answer[0](packet, is_tcp)) as server:
        known = resolver(server)
        await known.resolve(HOST)
        clock.now += 86400
        answer[0] = failing("NXDOMAIN")
        with pytest.raises(NameUnresolvableError):
            await known.resolve(HOST)


async def test_look_ups_of_one_host_at_once_share_one_round() -> None:
    async with NameServer(ZONE) as server:
        known = resolver(server)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(known.resolve(HOST))
    assert len(server.heard) == 2


async def test_hosts_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "HOSTS_MAX", 2)
    async with NameServer(ZONE) as server:
        known = resolver(server)
        for host in (HOST, "www.lan", "mixed.lan"):
            await known.resolve(host)
    assert known.last_known(HOST) == ()
    assert known.last_known("www.lan")
    assert known.last_known("mixed.lan")


async def test_one_plain_question() -> None:
    async with NameServer(ZONE) as server:
        assert await ask(server.at, HOST, "AAAA", 1.0) == ("2001:db8::1",)
        assert await ask(server.at, "private.lan", "A", 1.0) == ("192.168.1.5",)
        assert await ask(server.at, "nowhere.lan", "A", 1.0) == ()


async def test_a_plain_question_that_nobody_answers_is_an_error() -> None:
    async with NameServer(by_name({HOST: silence, "www.lan": failing("SERVFAIL")})) as server:
        with pytest.raises(TimeoutError):
            await ask(server.at, HOST, "A", 0.05)
        with pytest.raises(ConnectionError, match="SERVFAIL"):
            await ask(server.at, "www.lan", "A", 1.0)


def test_it_works_on_the_box_s_own_loop_too() -> None:
    async def look_up() -> tuple[str, ...]:
        async with NameServer(ZONE) as server:
            return await resolver(server).resolve("many.lan")

    assert len(uvloop.run(look_up())) == 99
