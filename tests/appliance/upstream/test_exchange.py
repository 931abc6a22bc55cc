"""One message and its answer, on loopback: what is heard, and what is not."""

import asyncio
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.upstream.exchange import _answers, exchange_tcp, exchange_udp
from tests.appliance.dns.nameserver import NameServer, silence, zone
from tests.appliance.dns.questions import packet, records
from tests.namespaces import cable

ZONE = zone("www.lan 300 A 10.0.0.80")
QUERY = packet("www.lan")


def answer(to: bytes) -> bytes:
    reply = ZONE(to, True)
    assert reply is not None
    return reply


async def test_the_answer_comes_back_by_either_way() -> None:
    async with NameServer(ZONE) as server:
        assert records(await exchange_udp(server.at, QUERY)) == ["10.0.0.80"]
        assert records(await exchange_tcp(server.at, QUERY)) == ["10.0.0.80"]


async def test_every_question_leaves_from_a_port_of_its_own() -> None:
    async with NameServer(ZONE) as server:
        for _ in range(8):
            await exchange_udp(server.at, QUERY)
    assert len(set(server.ports)) > 1


FOREIGN = [
    pytest.param(lambda query: b"", id="nothing"),
    pytest.param(lambda query: answer(query)[:11], id="half a header"),
    pytest.param(lambda query: b"\xff\xff" + answer(query)[2:], id="another id"),
    pytest.param(lambda query: query, id="our own question"),
    pytest.param(
        lambda query: query[:2] + answer(packet("www.wan"))[2:], id="the answer to another name"
    ),
    pytest.param(
        lambda query: query[:2] + answer(packet("www.lan", "MX"))[2:], id="to another type"
    ),
    pytest.param(
        lambda query: query[:2] + b"\x80\0\0\0" + answer(query)[6:],
        id="success without its question",
    ),
    pytest.param(lambda query: query[:2] + b"\x80\0\0\1" + bytes(8), id="cut before the question"),
]


@pytest.mark.parametrize("forge", FOREIGN)
async def test_what_answers_another_question_is_not_heard(forge: object) -> None:
    assert callable(forge)

    def respond(query: bytes, is_tcp: bool) -> bytes:
        forged: bytes = forge(query)
        return forged

    async with NameServer(respond) as server:
        with pytest.raises(ConnectionError):
            await exchange_tcp(server.at, QUERY)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await exchange_udp(server.at, QUERY)


async def test_the_right_answer_is_heard_after_a_wrong_one() -> None:
    async with NameServer(silence) as server, asyncio.TaskGroup() as group:
        asked = group.create_task(exchange_udp(server.at, QUERY))
        while not server.heard:  # noqa: ASYNC110  # One turn of the loop at a time.
            await asyncio.sleep(0)
        client = ("127.0.0.1", server.ports[0])
        server.send(b"\xff\xff" + answer(QUERY)[2:], client)
        server.send(answer(QUERY), client)
        assert records(await asked) == ["10.0.0.80"]


async def test_an_error_may_leave_its_question_out() -> None:
    async with NameServer(lambda query, _: query[:2] + b"\x80\x05" + bytes(8)) as server:
        assert records(await exchange_udp(server.at, QUERY)) == ["rcode 5"]


async def test_case_may_change_on_the_way() -> None:
    async with NameServer(lambda query, _: answer(packet("WWW.lan"))) as server:
        assert records(await exchange_udp(server.at, QUERY)) == ["10.0.0.80"]


async def test_nobody_there_is_told_at_once() -> None:
    async with NameServer(ZONE) as server:
        gone = server.at
    for ask in (exchange_udp, exchange_tcp):
        with pytest.raises(ConnectionRefusedError):
            await ask(gone, QUERY)


@pytest.mark.parametrize("sent", [b"", b"\0", struct.pack("!H", 100) + b"short"])
async def test_a_server_that_hangs_up_is_an_error(sent: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2 + len(QUERY))
        writer.write(sent)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        with pytest.raises(ConnectionError):
            await exchange_tcp(server.sockets[0].getsockname(), QUERY)


async def test_a_question_of_zeros_is_told_from_another() -> None:
    """A label may hold any byte, so the end of a name is not its first zero."""
    zeros = QUERY[:12] + b"\2\0\0\0\0\1\0\1"
    other = QUERY[:12] + b"\2\0\0\0\0\2\0\1"

    def respond(query: bytes, is_tcp: bool) -> bytes:
        return query[:2] + b"\x80\0" + (query if is_tcp else other)[4:]

    async with NameServer(respond) as server:
        assert await exchange_tcp(server.at, zeros)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await exchange_udp(server.at, zeros)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_not(response: bytes) -> None:
    """Only what repeats the id and says that it responds can be one."""
    if _answers(QUERY, response):
        assert response[:2] == QUERY[:2]
        assert response[2] & 0x80


async def test_ipv6_servers_are_asked_too() -> None:
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    host, port, *_ = transport.get_extra_info("sockname")
    reply = await exchange_udp((host, port), QUERY)
    transport.close()
    assert records(reply) == ["10.0.0.80"]


def test_a_server_by_its_link_local_address_is_asked_on_its_interface() -> None:
    """What routers hand out as a DNS server by IPv6 is more often than not such an address."""

    async def ask(address: str) -> list[str]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("::", 0))
        port = transport.get_extra_info("sockname")[1]
        try:
            async with asyncio.timeout(5):
                return records(await exchange_udp((address, port), QUERY))
        finally:
            transport.close()

    with cable() as (machine, _):
        shown = machine.type("ip", "-6", "-o", "addr", "show", "scope", "link")
        (address,) = re.findall(r"inet6 (fe80::\S+)/64", shown)
        scoped = f"{address}%{machine.interface}"
        assert machine.inside(lambda: asyncio.run(ask(scoped))) == ["10.0.0.80"]


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(answer(data), addr)
