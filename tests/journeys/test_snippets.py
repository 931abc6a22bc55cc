"""The DNS snippets in the servers that they are for: real ones, started with just these lines."""

from pathlib import Path

import pytest

from appliance.policy.snippets import SNIPPETS, Record
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import by_udp, packet, records
from tests.fakes.nameservers import running

pytestmark = pytest.mark.journey

REGISTRY, BLOBS = "registry.ollama.ai", "ollama-blobs.home.arpa"
BOX, BOX_6, PUBLIC = "192.168.1.5", "2001:db8:1::5", "203.0.113.10"
TRUTH, TRUTH_6 = "104.21.75.227", "2606:4700:3030::6815:4be3"
ZONE = zone(
    f"{REGISTRY} 300 A {TRUTH}\n{REGISTRY} 300 AAAA {TRUTH_6}\n{REGISTRY} 300 HTTPS 1 . alpn=h2\n"
    "www.example 300 A 198.51.100.80\nwww.example 300 AAAA 2001:db8:9::80"
)

ONE = (Record(REGISTRY, BOX),)
BOTH = (*ONE, Record(BLOBS, PUBLIC))
DUAL = (*ONE, Record(REGISTRY, BOX_6), Record(BLOBS, PUBLIC), Record(BLOBS, BOX_6))

RUNNABLE = {"pihole": "dnsmasq", "dnsmasq": "dnsmasq", "unbound": "unbound", "bind": "named"}
KINDS = ("A", "AAAA", "HTTPS")
OTHER = {"A": ["198.51.100.80"], "AAAA": ["2001:db8:9::80"], "HTTPS": []}


async def answers(at: tuple[str, int], name: str) -> dict[str, list[str]]:
    return {kind: records(await by_udp(at, packet(name, kind))) for kind in KINDS}


@pytest.mark.parametrize("server", ["dnsmasq", "unbound", "named"])
async def test_without_our_lines_the_registry_is_led_past_the_box(
    server: str, tmp_path: Path
) -> None:
    """What the lines are up against: all three kinds of record, from the Internet."""
    async with NameServer(ZONE) as upstream, running(server, tmp_path, upstream.at) as at:
        told = await answers(at, REGISTRY)
        assert (told["A"], told["AAAA"]) == ([TRUTH], [TRUTH_6])
        assert told["HTTPS"] not in ([], ["rcode 3"])
        assert await answers(at, "www.example") == OTHER
        assert await answers(at, BLOBS) == {kind: ["rcode 3"] for kind in KINDS}


@pytest.mark.parametrize("given", [ONE, BOTH, DUAL], ids=["registry", "both", "both, dual stack"])
@pytest.mark.parametrize(("snippet", "server"), RUNNABLE.items(), ids=RUNNABLE)
async def test_a_snippet_leads_its_server_to_the_box_by_every_kind_of_record(
    snippet: str, server: str, given: tuple[Record, ...], tmp_path: Path
) -> None:
    lines = SNIPPETS[snippet](given).lines
    async with NameServer(ZONE) as upstream, running(server, tmp_path, upstream.at, lines) as at:
        for name in {each.name for each in given}:
            of_name = [each for each in given if each.name == name]
            assert await answers(at, name) == {
                "A": [each.address for each in of_name if each.kind == "A"],
                "AAAA": [each.address for each in of_name if each.kind == "AAAA"],
                "HTTPS": [],
            }
        assert await answers(at, "www.example") == OTHER


async def test_dnsmasq_with_a_bare_record_asks_elsewhere_for_the_rest(tmp_path: Path) -> None:
    """Why Pi-hole, which is dnsmasq, is not told to use its list of records."""
    (tmp_path / "records").write_text(f"{BOX} {REGISTRY}\n", "utf-8")
    lines = (f"addn-hosts={tmp_path / 'records'}",)
    async with NameServer(ZONE) as upstream, running("dnsmasq", tmp_path, upstream.at, lines) as at:
        told = await answers(at, REGISTRY)
    assert (told["A"], told["AAAA"]) == ([BOX], [TRUTH_6])


async def test_named_forgets_the_box_by_the_undo(tmp_path: Path) -> None:
    recipe = SNIPPETS["bind"](BOTH)
    undo = tuple(line for line in recipe.undo if "systemctl" not in line)
    lines = (*recipe.lines, *undo)
    assert undo
    async with NameServer(ZONE) as upstream, running("named", tmp_path, upstream.at, lines) as at:
        assert (await answers(at, REGISTRY))["A"] == [TRUTH]
    assert not zone_files(tmp_path)


def zone_files(folder: Path) -> list[Path]:
    return list(folder.glob("db.*"))
