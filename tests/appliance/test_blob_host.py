"""The blob host on real interfaces' terms: offered, explained, and what to type."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_interface
from pathlib import Path

import pytest

from appliance.blob_host import BlobHost
from appliance.certs import open_authority
from appliance.policy.addresses import Addresses, Interface
from appliance.policy.askers import KNOWN_SECONDS, Askers
from appliance.policy.blob_addresses import BlobPlace
from appliance.policy.recipes import Lan


def interface(name: str, *addresses: str) -> Interface:
    return Interface(name, tuple(ip_interface(each) for each in addresses))


LOOPBACK = interface("lo", "127.0.0.1/8", "::1/128")
LAN = interface("eth0", "192.168.1.5/24", "fe80::5%eth0/64")
LAN_V6 = interface("eth0", "192.168.1.5/24", "2001:db8:1::5/64")
GIVEN = interface("lo", "127.0.0.1/8", "203.0.113.10/32")
SET = BlobPlace(Addresses(("203.0.113.10",)))
ANNOUNCED = "64:ff9b:1::5"
CLIENT, NEIGHBOUR = "192.168.1.77", "192.168.1.78"


class Machine:
    """Interfaces that change, a clock, and when DNS answered last."""

    def __init__(self, *interfaces: Interface, gateways: Mapping[str, str] | None = None) -> None:
        self.interfaces = interfaces
        self.gateways = {"eth0": "192.168.1.1"} if gateways is None else gateways
        self.now = 5000.0
        self.askers = Askers()
        self.askers.note_question(CLIENT, self.now)
        self.silence = ""

    def blob_host(self, place: BlobPlace) -> BlobHost:
        return BlobHost(
            place,
            lambda: self.interfaces,
            self.askers,
            refuse_private_from="0.35.2",
            announcing=lambda: self.silence,
            read_gateways=lambda: self.gateways,
            clock=lambda: self.now,
        )


def test_it_is_offered_from_the_first_question_until_an_hour_after_the_last() -> None:
    machine = Machine(GIVEN, LAN)
    machine.askers = Askers()
    blob_host = machine.blob_host(SET)
    assert not blob_host.is_offered(CLIENT, "192.168.1.5")
    machine.askers.note_question(CLIENT, machine.now)
    assert blob_host.is_offered(CLIENT, "192.168.1.5")
    machine.now += KNOWN_SECONDS
    assert blob_host.is_offered(CLIENT, "192.168.1.5")
    machine.now += 1
    assert not blob_host.is_offered(CLIENT, "192.168.1.5")


def test_what_one_client_asked_says_nothing_of_its_neighbour() -> None:
    """Whose own DNS may know the registry's name alone: sent to the blob host it would fail."""
    machine = Machine(GIVEN, LAN)
    blob_host = machine.blob_host(SET)
    assert blob_host.is_offered(CLIENT, "192.168.1.5")
    assert not blob_host.is_offered(NEIGHBOUR, "192.168.1.5")
    machine.askers.note_question("192.168.1.1", machine.now)
    assert blob_host.is_offered(NEIGHBOUR, "192.168.1.5")


def test_the_addresses_follow_the_interfaces() -> None:
    machine = Machine(LOOPBACK, LAN)
    blob_host = machine.blob_host(SET)
    assert not blob_host.is_offered(CLIENT, "192.168.1.5")
    machine.interfaces = (GIVEN, LAN_V6)
    assert blob_host.addresses("192.168.1.5") == Addresses(("203.0.113.10",), ("2001:db8:1::5",))
    assert blob_host.is_offered(CLIENT, "192.168.1.5")


def test_a_network_without_any_is_told_and_is_no_failure() -> None:
    blob_host = Machine(LOOPBACK, LAN).blob_host(BlobPlace())
    check = blob_host.check()
    assert check.is_ok
    assert "Ollama 0.35.2 and newer can fetch no blob here" in check.detail
    assert "ollama-appliance blob-address" in check.detail
    assert blob_host.is_needed()


def test_an_address_that_was_set_and_is_not_there_is_a_failure_with_its_line() -> None:
    check = Machine(LOOPBACK, LAN).blob_host(SET).check()
    assert not check.is_ok
    assert "ip address add 203.0.113.10/32 dev lo" in check.detail
    v6 = BlobPlace(Addresses((), ("2001:db8:9::1",)))
    assert "ip -6 address add 2001:db8:9::1/128 dev eth0" in (
        Machine(LOOPBACK, LAN).blob_host(v6).check().detail
    )
    assert Machine(LOOPBACK, LAN).blob_host(replace(SET, is_published=True)).check().is_ok


def test_what_works_is_told_as_far_as_it_works() -> None:
    machine = Machine(GIVEN, LAN)
    blob_host = machine.blob_host(SET)
    assert blob_host.check().detail == "Ollama 0.35.2 and newer fetch blobs at 203.0.113.10"
    assert not blob_host.is_needed()
    machine.now += KNOWN_SECONDS + 1
    assert "nobody asked this box's DNS" in blob_host.check().detail
    by_ipv6 = Machine(LOOPBACK, LAN_V6).blob_host(BlobPlace())
    assert "at 2001:db8:1::5 where they came by IPv6" in by_ipv6.check().detail
    assert by_ipv6.is_needed()


def test_an_announced_address_needs_its_service() -> None:
    machine = Machine(LOOPBACK, LAN)
    blob_host = machine.blob_host(BlobPlace(announced=ANNOUNCED))
    assert f"ip -6 address add {ANNOUNCED}/128 dev eth0" in blob_host.check().detail
    machine.interfaces = (interface("eth0", "192.168.1.5/24", f"{ANNOUNCED}/128"),)
    machine.silence = "nobody announces it"
    assert (blob_host.check().is_ok, blob_host.check().detail) == (False, "nobody announces it")
    assert not blob_host.is_offered(CLIENT, "192.168.1.5")
    machine.silence = ""
    assert blob_host.check().detail.endswith(f"fetch blobs at {ANNOUNCED}")
    assert blob_host.is_offered(CLIENT, "192.168.1.5")


def test_announcing_is_among_the_ways_where_the_box_is_on_the_network_itself() -> None:
    blob_host = replace(Machine(LOOPBACK, LAN).blob_host(SET), announceable=ANNOUNCED)
    lines = [line for each in blob_host.recipes() for line in each.lines]
    assert f"ip -6 address add {ANNOUNCED}/128 dev eth0" in lines
    inside = replace(blob_host, place=replace(SET, box_address="192.168.7.7"))
    assert "announce = true" not in [line for each in inside.recipes() for line in each.lines]


@pytest.mark.parametrize(
    ("place", "lan"),
    [
        (SET, Lan("192.168.1.5", "192.168.1.1", "192.168.1.0/24", "eth0")),
        (replace(SET, box_address="192.168.7.7"), Lan("192.168.7.7")),
        (
            replace(SET, box_address="192.168.1.5"),
            Lan("192.168.1.5", "192.168.1.1", "192.168.1.0/24", "eth0"),
        ),
        (replace(SET, box_address="2001:db8::1"), None),
    ],
)
def test_the_lines_are_for_the_network_that_clients_are_on(
    place: BlobPlace, lan: Lan | None
) -> None:
    other = interface("docker0", "172.17.0.1/16")
    blob_host = Machine(GIVEN, other, LAN).blob_host(place)
    assert blob_host.lan() == lan
    recipes = blob_host.recipes()
    has_dhcp = any("DHCP" in each.title for each in recipes[4:])
    assert has_dhcp == bool(lan and lan.router)
    assert bool(recipes) == bool(lan)


def test_a_machine_on_no_network_has_no_lines() -> None:
    blob_host = Machine(LOOPBACK).blob_host(BlobPlace())
    assert (blob_host.recipes(), blob_host.lan()) == ((), None)
    assert blob_host.check().is_ok


def test_the_ca_covers_the_blob_host_s_name(tmp_path: Path) -> None:
    names = ("registry.ollama.ai", "ollama-blobs.home.arpa")
    authority = open_authority(tmp_path / "ca", names, now=datetime.now(UTC))
    assert authority.permits(names[1])
    assert not authority.permits("other.home.arpa")
