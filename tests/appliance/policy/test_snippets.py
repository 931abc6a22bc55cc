"""DNS snippets: both names, the right kind of record, and a way back."""

import pytest

from appliance.policy.snippets import Record, list_snippets

REGISTRY = Record("registry.ollama.ai", "10.0.0.5")
BLOBS = Record("ollama-blobs.home.arpa", "203.0.113.10")
OVER_6 = Record("registry.ollama.ai", "2001:db8::5")


def test_every_snippet_names_both_hosts_and_their_addresses() -> None:
    for recipe in list_snippets((REGISTRY, BLOBS)):
        text = "\n".join(recipe.lines)
        for record in (REGISTRY, BLOBS):
            assert record.zone in text, recipe.title
            assert record.host in text, recipe.title
            assert record.address in text, recipe.title
        assert recipe.undo, recipe.title


@pytest.mark.parametrize(
    "software",
    [
        "Pi-hole",
        "AdGuard",
        "dnsmasq",
        "Unbound",
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
    assert "Add-DnsServerResourceRecordAAAA" in text
    assert " A 2001" not in text


def test_dnsmasq_and_unbound_answer_nothing_else_for_the_name() -> None:
    text = "\n".join(line for each in list_snippets((REGISTRY,)) for line in each.lines)
    assert "local=/registry.ollama.ai/" in text
    assert '"registry.ollama.ai." redirect' in text
