"""Real DNS servers that keep a client from the box, each told by its symptom and cured by the hint.

Each asks a server that leads to a box at a private address, as a router does that was pointed at
the box, and is configured as people have it who never heard of the box.
"""

import asyncio
import re
from pathlib import Path

import pytest

from appliance.policy.symptoms import Place, Symptom, advise, name_symptom
from appliance.upstream.questions import ask_all
from tests.appliance.dns.nameserver import NameServer, zone
from tests.fakes.nameservers import running

pytestmark = pytest.mark.journey

NAME, BOX = "registry.ollama.ai", "192.168.1.5"
LEADING = zone(f"{NAME} 30 A {BOX}\nollama.com 300 A 34.36.133.15")

# A key that signs nothing here: everything below the name must then be signed, and is not.
ANCHOR = f'"ollama.ai. DS 12345 8 2 {"ab" * 32}"'

STRICT = {
    "dnsmasq, rebinding": ("dnsmasq", ("stop-dns-rebind",), Symptom.DROPPED),
    "unbound, rebinding": (
        "unbound",
        ("server:", "  private-address: 192.168.0.0/16"),
        Symptom.DROPPED,
    ),
    "unbound, DNSSEC": (
        "unbound",
        ("server:", '  module-config: "validator iterator"', f"  trust-anchor: {ANCHOR}"),
        Symptom.UNSIGNED,
    ),
}


def cure(server: str, symptom: Symptom) -> str:
    """The line of the hint that is for this server."""
    hint = advise(symptom, Place.NETWORK, "192.168.1.1", BOX, NAME)
    (line,) = re.findall(rf"(?:^|[:;,] ){server}[^:]*: ([^;]*);", hint, re.IGNORECASE)
    return f"  {line}" if server == "unbound" else str(line)


async def symptom_at(server: str, folder: Path, lines: tuple[str, ...]) -> Symptom:
    await asyncio.to_thread(folder.mkdir)
    async with NameServer(LEADING) as box, running(server, folder, box.at, lines) as at:
        return name_symptom(await ask_all(at, NAME), frozenset({BOX}))


@pytest.mark.parametrize(("server", "lines", "symptom"), STRICT.values(), ids=STRICT)
async def test_a_strict_server_is_found_out_and_the_line_of_the_hint_cures_it(
    server: str, lines: tuple[str, ...], symptom: Symptom, tmp_path: Path
) -> None:
    assert await symptom_at(server, tmp_path / "strict", lines) is symptom
    cured = (*lines, cure(server, symptom))
    assert await symptom_at(server, tmp_path / "cured", cured) is Symptom.LEADS_HERE


BIND = {
    "rebinding": (
        ("dnssec-validation no;", "deny-answer-addresses { 192.168.0.0/16; }"),
        (),
        Symptom.DROPPED,
    ),
    "DNSSEC": (
        ("dnssec-validation yes;",),
        (f'trust-anchors {{ "ollama.ai." static-ds 12345 8 2 "{"ab" * 32}"; }};',),
        Symptom.UNSIGNED,
    ),
}


@pytest.mark.parametrize(("options", "lines", "symptom"), BIND.values(), ids=BIND)
async def test_bind_is_found_out_and_cured_by_its_options(
    options: tuple[str, ...], lines: tuple[str, ...], symptom: Symptom, tmp_path: Path
) -> None:
    hint = advise(symptom, Place.NETWORK, "192.168.1.1", BOX, NAME)
    (line,) = re.findall(r"BIND: (.*?\});", hint)
    typed = [f"echo '{each}' >> /etc/bind/named.conf.local" for each in lines]
    strict = (*options[:-1], f"{options[-1].rstrip(';')};")
    cured = (*options[:-1], f"{options[-1]} {line};")
    for name, given, expected in (
        ("strict", strict, symptom),
        ("cured", cured, Symptom.LEADS_HERE),
    ):
        folder = tmp_path / name
        await asyncio.to_thread(folder.mkdir)
        async with (
            NameServer(LEADING) as box,
            running("named", folder, box.at, typed, given) as at,
        ):
            assert name_symptom(await ask_all(at, NAME), frozenset({BOX})) is expected


@pytest.mark.parametrize("server", ["dnsmasq", "unbound", "named"])
async def test_a_server_that_only_passes_on_leads_to_the_box(server: str, tmp_path: Path) -> None:
    assert await symptom_at(server, tmp_path / "plain", ()) is Symptom.LEADS_HERE
