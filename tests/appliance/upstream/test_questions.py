"""One question, and all of its answer: codes, records, silence, and the switch for DNSSEC."""

import pytest
from dnslib import DNSRecord

from appliance.demo.ports import choose_port
from appliance.policy.symptoms import NOERROR, SILENT, Reply
from appliance.upstream import questions
from appliance.upstream.questions import ask_all, ask_reply
from tests.appliance.dns.nameserver import NameServer, failing, silence, zone

NAME = "registry.ollama.ai"
ZONE = zone(
    f"{NAME} 30 A 192.168.1.5\n{NAME} 30 AAAA 2001:db8::5\n{NAME} 30 HTTPS 1 . alpn=h2\n"
    "ollama.com 30 CNAME edge.example\nedge.example 30 A 198.51.100.7\n"
    + "".join(f"many.example 30 A 198.51.100.{number}\n" for number in range(1, 60))
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "ASK_SECONDS", 0.5)


async def test_all_that_a_diagnosis_needs_is_asked() -> None:
    async with NameServer(ZONE) as server:
        told = await ask_all(server.at, NAME)
        assert told.a == told.unchecked == Reply(NOERROR, ("192.168.1.5",))
        assert told.aaaa == Reply(NOERROR, ("2001:db8::5",))
        assert len(told.https.records) == 1
        assert told.other == Reply(NOERROR, ("198.51.100.7",))
        checked_off = [DNSRecord.parse(each).header.cd for each in server.heard]
    assert sorted(checked_off) == [0, 0, 0, 0, 1]


async def test_a_long_answer_comes_by_tcp() -> None:
    async with NameServer(ZONE) as server:
        assert len((await ask_reply(server.at, "many.example", "A")).records) == 59


@pytest.mark.parametrize("code", ["SERVFAIL", "REFUSED", "NXDOMAIN"])
async def test_a_failure_keeps_its_name(code: str) -> None:
    async with NameServer(failing(code)) as server:
        assert await ask_reply(server.at, NAME, "A") == Reply(code)


async def test_silence_a_closed_port_and_nonsense_are_no_answer() -> None:
    async with NameServer(silence) as server:
        assert await ask_reply(server.at, NAME, "A") == Reply(SILENT)
    assert await ask_reply(("127.0.0.1", choose_port()), NAME, "A") == Reply(SILENT)

    def nonsense(packet: bytes, is_tcp: bool) -> bytes:
        return packet[:2] + b"\x80\x00\x00\x01\x00\x09\x00\x00\x00\x00" + packet[12:] + b"\xc0\xff"

    async with NameServer(nonsense) as server:
        assert await ask_reply(server.at, NAME, "A") == Reply(SILENT)
