"""Who counts as local, by interfaces that change under the box."""

from ipaddress import IPv4Interface, IPv6Interface, ip_interface, ip_network

import pytest

from appliance import surroundings
from appliance.policy.addresses import Interface
from appliance.surroundings import Surroundings

LOOPBACK = Interface("lo", (IPv4Interface("127.0.0.1/8"), IPv6Interface("::1/128")))
LAN = Interface("eth0", (IPv4Interface("10.0.0.5/24"), IPv6Interface("fe80::5%eth0/64")))
WAN = Interface("eth1", (IPv4Interface("203.0.113.9/24"), IPv6Interface("2001:db8::9/64")))


class Machine:
    """Interfaces as they are now, and how often somebody looked."""

    def __init__(self, *interfaces: Interface) -> None:
        self.interfaces = interfaces
        self.looks = 0

    def read(self) -> tuple[Interface, ...]:
        self.looks += 1
        return self.interfaces


def test_local_networks_are_allowed_and_others_are_not() -> None:
    around = Surroundings(Machine(LOOPBACK, LAN, WAN).read, allow=(), configured="")
    allowed = ("10.0.0.77", "127.0.0.1", "::1", "203.0.113.200", "fe80::9%eth0", "192.168.9.9")
    assert all(around.is_allowed(each) for each in allowed)
    assert not any(around.is_allowed(each) for each in ("8.8.8.8", "2600::1", "203.0.114.1"))


def test_an_ipv4_client_over_an_ipv6_socket_is_the_same_client() -> None:
    around = Surroundings(Machine(LAN).read, allow=(ip_network("10.0.0.0/24"),), configured="")
    assert around.is_allowed("::ffff:10.0.0.9")
    assert not around.is_allowed("::ffff:10.0.1.9")


def test_a_rule_of_the_operator_s_is_the_whole_rule_but_for_the_box_itself() -> None:
    around = Surroundings(
        Machine(LOOPBACK, LAN).read, allow=(ip_network("10.9.0.0/16"),), configured=""
    )
    assert around.is_allowed("10.9.1.1")
    assert not around.is_allowed("10.0.0.77")
    assert around.is_allowed("10.0.0.5")
    assert around.is_allowed("127.0.0.1")
    assert around.networks() == ("10.9.0.0/16", "10.0.0.5", "127.0.0.1", "::1", "fe80::5")


@pytest.mark.parametrize("address", ["", "somewhere", "10.0.0", "::ffff:"])
def test_what_is_no_address_is_not_allowed(address: str) -> None:
    assert not Surroundings(Machine(LAN).read, allow=(), configured="").is_allowed(address)


def test_own_addresses_are_all_of_them_without_scopes() -> None:
    around = Surroundings(Machine(LOOPBACK, LAN).read, allow=(), configured="")
    assert around.own_addresses() == {"127.0.0.1", "::1", "10.0.0.5", "fe80::5"}


def test_clients_dial_what_is_configured_or_what_is_on_the_network() -> None:
    machine = Machine(LOOPBACK, LAN, WAN)
    assert Surroundings(machine.read, allow=(), configured="10.1.1.1").dialled_addresses() == (
        "10.1.1.1",
    )
    found = Surroundings(machine.read, allow=(), configured="").dialled_addresses()
    assert {"10.0.0.5", "203.0.113.9", "2001:db8::9"} == set(found)
    assert Surroundings(Machine(LOOPBACK).read, allow=(), configured="").dialled_addresses() == ()


def test_what_loopback_was_given_is_own_and_not_what_clients_dial() -> None:
    addresses = ("127.0.0.1/8", "203.0.113.10/32", "::1/128")
    loopback = Interface("lo", tuple(map(ip_interface, addresses)))
    around = Surroundings(Machine(loopback, LAN).read, allow=(), configured="")
    assert "203.0.113.10" in around.own_addresses()
    assert around.dialled_addresses() == ("10.0.0.5",)
    assert around.interfaces() == (loopback, LAN)


def test_the_interfaces_are_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(LOOPBACK)
    around = Surroundings(machine.read, allow=(), configured="")
    for _ in range(100):
        around.is_allowed("10.0.0.77")
    assert machine.looks == 1
    machine.interfaces = (LOOPBACK, LAN)
    assert "10.0.0.5" not in around.own_addresses()
    monkeypatch.setattr(surroundings, "LOOK_SECONDS", 0.0)
    assert "10.0.0.5" in around.own_addresses()


def test_interfaces_that_cannot_be_read_again_stay_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine(LAN)
    around = Surroundings(machine.read, allow=(), configured="")
    assert around.is_allowed("10.0.0.77")

    def fail() -> tuple[Interface, ...]:
        raise OSError("no netlink")

    monkeypatch.setattr(surroundings, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(around, "_read_interfaces", fail)
    assert around.is_allowed("10.0.0.77")
