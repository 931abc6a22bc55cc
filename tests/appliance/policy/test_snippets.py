"""DNS snippets: both names, the right kinds of record, and a way back.

What the servers themselves make of the lines is in tests/journeys/test_snippets.py.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.addresses import Addresses
from appliance.policy.snippets import SNIPPETS, Record, list_snippets, make_records

REGISTRY = Record("registry.ollama.ai", "10.0.0.5")
BLOBS = Record("ollama-blobs.home.arpa", "203.0.113.10")
OVER_6 = Record("registry.ollama.ai", "2001:db8::5")

V4 = st.ip_addresses(v=4).map(str)
V6 = st.ip_addresses(v=6).map(str)
ADDRESSES = st.builds(
    Addresses, st.lists(V4, max_size=2).map(tuple), st.lists(V6, max_size=2).map(tuple)
)


@pytest.mark.parametrize("name", SNIPPETS)
def test_every_snippet_names_both_hosts_and_their_addresses(name: str) -> None:
    recipe = SNIPPETS[name]((REGISTRY, BLOBS))
    text = "\n".join(recipe.lines)
    for record in (REGISTRY, BLOBS):
        assert record.zone in text
        assert record.host in text
        assert record.address in text
    assert recipe.undo


@pytest.mark.parametrize(
    "software",
    [
        "Pi-hole",
        "AdGuard",
        "dnsmasq",
        "Unbound",
        "BIND",
        "CoreDNS",
        "OPNsense",
        "UniFi",
        "MikroTik",
        "Windows",
        "hosts",
    ],
)
def test_the_software_that_people_run_is_there(software: str) -> None:
    assert [each for each in list_snippets((REGISTRY,)) if software in each.title]


def test_an_ipv6_address_gets_an_ipv6_record() -> None:
    text = "\n".join(line for each in list_snippets((OVER_6,)) for line in each.lines)
    assert "IN AAAA 2001:db8::5" in text
    assert "\n@ AAAA 2001:db8::5\n" in text
    assert "Add-DnsServerResourceRecordAAAA" in text
    assert " A 2001" not in text


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("pihole", "local=/registry.ollama.ai/"),
        ("dnsmasq", "local=/registry.ollama.ai/"),
        ("unbound", '  local-zone: "registry.ollama.ai." redirect'),
        ("bind", "sudo tee /etc/bind/db.registry.ollama.ai <<'END'"),
        ("coredns", "registry.ollama.ai {"),
        (
            "windows",
            "Add-DnsServerPrimaryZone -Name registry.ollama.ai -ZoneFile registry.ollama.ai.dns",
        ),
    ],
)
def test_a_name_with_two_addresses_is_claimed_once_and_whole(name: str, line: str) -> None:
    lines = SNIPPETS[name]((REGISTRY, OVER_6)).lines
    assert lines.count(line) == 1
    for record in (REGISTRY, OVER_6):
        assert sum(record.address in each for each in lines) == 1


@given(box=ADDRESSES, blobs=ADDRESSES)
def test_any_addresses_give_a_record_of_each_kind_at_most_and_all_are_told(
    box: Addresses, blobs: Addresses
) -> None:
    records = make_records(REGISTRY.name, box, BLOBS.name, blobs)
    assert len({(each.name, each.kind) for each in records}) == len(records)
    assert bool(box) == any(each.name == REGISTRY.name for each in records)
    assert bool(blobs) == any(each.name == BLOBS.name for each in records)
    for recipe in list_snippets(records):
        text = "\n".join(recipe.lines)
        assert all(each.address in text for each in records), recipe.title
