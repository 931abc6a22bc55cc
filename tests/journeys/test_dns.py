"""The DNS process as `dig` sees it: the table of questions and answers, over real sockets."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.dns.responder import DnsResponder
from appliance.dns.settings import Settings
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import by_udp, packet, records, until_true
from tests.programs import program

pytestmark = pytest.mark.journey

REGISTRY, BLOBS = "registry.ollama.ai", "ollama-blobs.home.arpa"
BOX, TRUTH, PUBLIC = "192.168.1.5", "104.21.75.227", "203.0.113.10"
ZONE = zone(
    f"{REGISTRY} 300 A {TRUTH}\n{REGISTRY} 300 TXT true\nwww.lan 300 A 10.0.0.80\n"
    "many.lan 300 TXT " + " ".join(["x" * 200] * 8)
)


@dataclass(frozen=True)
class Dug:
    """What dig says of one answer."""

    status: str
    flags: frozenset[str]
    answers: tuple[str, ...]
    text: str


async def dig(at: tuple[str, int], *words: str) -> Dug:
    text = await run_dig(at, "+tries=1", "+time=5", *words)
    status = re.search(r"status: (\w+)", text)
    flags = re.search(r"flags: ([a-z ]*);", text)
    assert status, text
    assert flags, text
    section = text.partition(";; ANSWER SECTION:\n")[2].partition("\n\n")[0]
    answers = tuple(each.split(None, 4)[4] for each in section.splitlines())
    return Dug(status[1], frozenset(flags[1].split()), answers, text)


async def run_dig(at: tuple[str, int], *words: str) -> str:
    command = (str(program("dig")), "-r", f"@{at[0]}", "-p", str(at[1]), *words)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return output.decode()


@asynccontextmanager
async def box(tmp_path: Path, *, is_healthy: bool) -> AsyncIterator[tuple[str, int]]:
    program("dig")
    async with NameServer(ZONE) as upstream:
        settings = Settings(
            str(tmp_path), 0, (REGISTRY,), BLOBS, upstream=(upstream.at,),
            listen=("127.0.0.1",), box_address=BOX, blob_addresses=(PUBLIC, "10.0.0.1"),
        )  # fmt: skip
        async with DnsResponder(settings) as responder, asyncio.TaskGroup() as group:
            beating = group.create_task(beat(responder, is_healthy=is_healthy))
            (at,) = responder.listening
            await until_true(lambda: is_so(at, BOX if is_healthy else TRUTH))
            yield at
            beating.cancel()


async def beat(responder: DnsResponder, *, is_healthy: bool) -> None:
    while True:
        responder.beat(is_healthy=is_healthy, truth=[TRUTH])
        await asyncio.sleep(0.5)


async def is_so(at: tuple[str, int], address: str) -> bool:
    return records(await by_udp(at, packet(REGISTRY))) == [address]


WELL = [
    ([REGISTRY, "A"], "NOERROR", (BOX,)),
    (["ReGiStRy.OLLAMA.ai", "A"], "NOERROR", (BOX,)),
    ([REGISTRY, "A", "+tcp"], "NOERROR", (BOX,)),
    ([REGISTRY, "A", "+noedns"], "NOERROR", (BOX,)),
    ([REGISTRY, "A", "+dnssec", "+bufsize=4096"], "NOERROR", (BOX,)),
    ([REGISTRY, "A", "+edns=1", "+noednsneg"], "BADVERS", ()),
    ([REGISTRY, "AAAA"], "NOERROR", ()),
    ([REGISTRY, "HTTPS"], "NOERROR", ()),
    ([REGISTRY, "SVCB"], "NOERROR", ()),
    ([REGISTRY, "TXT"], "NOERROR", ()),
    ([REGISTRY, "TYPE65280"], "NOERROR", ()),
    ([REGISTRY, "ANY", "+notcp"], "NOERROR", ('"RFC8482" ""',)),
    ([BLOBS, "A"], "NOERROR", (PUBLIC,)),
    ([BLOBS, "AAAA"], "NOERROR", ()),
    (["_dns.resolver.arpa", "SVCB"], "NOERROR", ()),
    (["use-application-dns.net", "A"], "NXDOMAIN", ()),
    (["version.bind", "CH", "TXT"], "REFUSED", ()),
    (["www.lan", "A"], "NOERROR", ("10.0.0.80",)),
    (["www.lan", "A", "+tcp"], "NOERROR", ("10.0.0.80",)),
    (["nowhere.lan", "A"], "NXDOMAIN", ()),
    ([REGISTRY, "A", "+opcode=notify"], "NOTIMP", ()),
]
OPEN = [
    ([REGISTRY, "A"], "NOERROR", (TRUTH,)),
    ([REGISTRY, "TXT"], "NOERROR", ('"true"',)),
    ([REGISTRY, "HTTPS"], "NOERROR", ()),
    ([BLOBS, "A"], "NOERROR", (PUBLIC,)),  # For who is in the middle of a pull.
    (["www.lan", "A"], "NOERROR", ("10.0.0.80",)),
]


@pytest.mark.parametrize(
    ("is_healthy", "table"), [(True, WELL), (False, OPEN)], ids=["well", "open"]
)
async def test_questions_and_their_answers(
    tmp_path: Path, is_healthy: bool, table: list[tuple[list[str], str, tuple[str, ...]]]
) -> None:
    async with box(tmp_path, is_healthy=is_healthy) as at:
        dug = [(words, await dig(at, *words)) for words, _, _ in table]
    assert [(words, each.status, each.answers) for words, each in dug] == table


async def test_what_dig_makes_of_our_own_answers(tmp_path: Path) -> None:
    async with box(tmp_path, is_healthy=True) as at:
        dug = await dig(at, REGISTRY, "A")
        assert dug.flags == {"qr", "rd", "ra"}
        assert "udp: 1232" in dug.text
        assert re.search(r"30\s+IN\s+A", dug.text)
        assert "WARNING" not in dug.text.upper()
        assert "SOA" in (await dig(at, REGISTRY, "AAAA")).text


async def test_the_truth_is_to_be_forgotten_soon(tmp_path: Path) -> None:
    async with box(tmp_path, is_healthy=False) as at:
        assert re.search(r"30\s+IN\s+A\s+104", (await dig(at, REGISTRY, "A")).text)
        assert re.search(r"30\s+IN\s+TXT", (await dig(at, REGISTRY, "TXT")).text)
        assert re.search(r"300\s+IN\s+A\s+10", (await dig(at, "www.lan", "A")).text)


async def test_a_long_answer_is_truncated_and_dig_comes_back_by_tcp(tmp_path: Path) -> None:
    async with box(tmp_path, is_healthy=True) as at:
        assert "tc" in (await dig(at, "many.lan", "TXT", "+ignore")).flags
        whole = await dig(at, "many.lan", "TXT")
        assert whole.answers[0].count("x") == 1600
        assert "(TCP)" in whole.text


async def test_several_questions_on_one_connection(tmp_path: Path) -> None:
    questions = (REGISTRY, "A", "www.lan", "A", REGISTRY, "A")
    async with box(tmp_path, is_healthy=True) as at:
        output = await run_dig(at, "+tcp", "+keepopen", "+short", *questions)
    assert output.split() == [BOX, "10.0.0.80", BOX]


async def test_nobody_is_given_a_zone(tmp_path: Path) -> None:
    async with box(tmp_path, is_healthy=True) as at:
        assert "Transfer failed" in await run_dig(at, REGISTRY, "AXFR")
