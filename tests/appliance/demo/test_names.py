"""Names: the zone and nothing else, over UDP and TCP, counted."""

import asyncio
import sys

import pytest
from dnslib import QTYPE, RCODE, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.names import (
    NameServer,
    NameServerError,
    NameUnknownError,
    open_pair,
    resolve,
)

ZONE = {"registry.test": ("127.0.0.2", "::1"), "v4.test": ("127.0.0.3",)}


async def test_a_client_finds_both_kinds_of_address() -> None:
    async with NameServer(ZONE) as server:
        found = await asyncio.to_thread(resolve, ("127.0.0.1", server.port), "Registry.Test")
    assert found == ["::1", "127.0.0.2"]
    assert server.asked == {("registry.test", "A"): 1, ("registry.test", "AAAA"): 1}


async def test_a_question_comes_from_the_address_of_the_machine() -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere loopback has one address")
    loop, asked = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    class Witness(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            transport.sendto(NameServer(ZONE).answer(data) or b"", addr)
            if not asked.done():
                asked.set_result(addr[0])

    transport, _ = await loop.create_datagram_endpoint(Witness, ("127.0.0.1", 0))
    server = transport.get_extra_info("sockname")
    found = await asyncio.to_thread(resolve, server, "v4.test", "127.0.1.7")
    assert (found, await asked) == (["127.0.0.3"], "127.0.1.7")
    transport.close()


async def test_an_unknown_name_does_not_exist() -> None:
    async with NameServer(ZONE) as server:
        with pytest.raises(NameUnknownError, match="no such host"):
            await asyncio.to_thread(resolve, ("127.0.0.1", server.port), "elsewhere.test")


async def test_tcp_answers_several_questions_in_turn() -> None:
    async with NameServer(ZONE) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for _ in range(2):
            question = DNSRecord.question("v4.test").pack()
            writer.write(len(question).to_bytes(2, "big") + question)
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = DNSRecord.parse(await reader.readexactly(size))
            assert str(reply.rr[0].rdata) == "127.0.0.3"
        writer.close()
        await writer.wait_closed()


def test_a_known_name_without_such_a_record_is_empty_not_unknown() -> None:
    reply = DNSRecord.parse(NameServer(ZONE).answer(DNSRecord.question("v4.test", "AAAA").pack()))
    assert (reply.rr, reply.header.rcode) == ([], RCODE.NOERROR)
    other = DNSRecord.parse(NameServer(ZONE).answer(DNSRecord.question("v4.test", "HTTPS").pack()))
    assert (other.rr, QTYPE[other.q.qtype]) == ([], "HTTPS")


@given(message=st.binary(max_size=64))
def test_any_datagram_gives_an_answer_or_nothing(message: bytes) -> None:
    reply = NameServer(ZONE).answer(message)
    assert reply is None or isinstance(reply, bytes)


def test_a_port_without_a_server_is_reported() -> None:
    udp, tcp = open_pair("127.0.0.1")
    port = udp.getsockname()[1]
    udp.close()
    tcp.close()
    with pytest.raises(NameServerError, match=f"read udp 127.0.0.1:{port}"):
        resolve(("127.0.0.1", port), "registry.test")


def test_a_pair_shares_its_port_and_a_taken_one_is_refused() -> None:
    udp, tcp = open_pair("127.0.0.1")
    with udp, tcp:
        assert udp.getsockname() == tcp.getsockname()
        with pytest.raises(OSError, match="in use"):
            open_pair("127.0.0.1", udp.getsockname()[1])
