"""`dns snippets`, as it is typed."""

import json
from ipaddress import ip_interface

import pytest

from appliance.cli import dns
from appliance.policy.addresses import Interface
from appliance.policy.snippets import SNIPPETS
from tests.appliance.cli.wishing import invoke

LOOPBACK = Interface("lo", (ip_interface("127.0.0.1/8"),))
LAN = Interface("eth0", (ip_interface("192.168.7.5/24"), ip_interface("2001:db8:7::5/64")))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box on one network, by IPv4 and by IPv6."""
    for module in ("dns", "blob_address"):
        monkeypatch.setattr(f"appliance.cli.{module}.read_interfaces", lambda: (LOOPBACK, LAN))


@pytest.mark.usefixtures("machine")
def test_they_name_all_that_the_box_s_own_dns_answers_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(dns, "dns", "snippets", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["records"] == [
        {"name": "registry.ollama.ai", "type": "A", "address": "192.168.7.5"},
        {"name": "registry.ollama.ai", "type": "AAAA", "address": "2001:db8:7::5"},
        {"name": "ollama-blobs.home.arpa", "type": "AAAA", "address": "2001:db8:7::5"},
    ]
    assert [each["name"] for each in told["snippets"]] == list(SNIPPETS)
    assert all(each["lines"] and each["undo"] for each in told["snippets"])


@pytest.mark.usefixtures("machine")
def test_one_is_printed_alone_so_that_it_can_be_written_to_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_BLOBS_ADDRESS", "203.0.113.10")
    monkeypatch.setenv("OLLAMA_APPLIANCE_BOX_ADDRESS", "10.1.2.3")
    assert invoke(dns, "dns", "snippets", "dnsmasq") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "address=/registry.ollama.ai/10.1.2.3",
        "local=/registry.ollama.ai/",
        "address=/ollama-blobs.home.arpa/203.0.113.10",
        "local=/ollama-blobs.home.arpa/",
    ]
    assert "# To undo it:" in said.err
    assert "blobs.published = true" in said.err


@pytest.mark.usefixtures("machine")
def test_without_a_name_all_are_printed_with_how_to_see_that_they_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(dns, "dns", "snippets", "--address", "192.168.7.99") == 0
    said = capsys.readouterr().out
    assert said.count("# To undo it:") == len(SNIPPETS)
    assert "192.168.7.99 registry.ollama.ai" in said
    assert "dig registry.ollama.ai A" in said
    assert "ollama-blobs.home.arpa has no address here" in said


def test_a_machine_without_a_network_is_told_to_name_the_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("dns", "blob_address"):
        monkeypatch.setattr(f"appliance.cli.{module}.read_interfaces", lambda: (LOOPBACK,))
    assert invoke(dns, "dns", "snippets") == 1
    assert "--address" in capsys.readouterr().err


def test_software_that_is_not_known_is_refused_with_what_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        invoke(dns, "dns", "snippets", "powerdns")
    assert caught.value.code == 2
    assert "unbound" in capsys.readouterr().err


def test_a_configuration_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke(dns, "dns", "snippets") == 1
    assert "dns.port" in capsys.readouterr().err
