"""The machine's own addresses, against the machine itself."""

import socket
import time
from collections.abc import Callable
from ipaddress import ip_address

import pytest

from appliance.interfaces import read_gateways, read_interfaces
from appliance.policy.addresses import choose_addresses
from tests.namespaces import Machine, cable


def test_loopback_is_among_them() -> None:
    addresses = [each for home in read_interfaces() for each in home.addresses]
    assert "127.0.0.1/8" in [str(each) for each in addresses]


def test_the_address_that_packets_leave_from_is_among_them() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # Sends nothing; it only picks a route.
        except OSError:
            pytest.skip("this machine has no route to anywhere")
        local = ip_address(sock.getsockname()[0])
    assert local in [each.ip for home in read_interfaces() for each in home.addresses]


def test_every_address_can_be_bound() -> None:
    for home in read_interfaces():
        for each in home.texts:
            family = socket.AF_INET6 if ":" in each else socket.AF_INET
            flags = socket.AI_NUMERICHOST
            (_, _, _, _, where), *_ = socket.getaddrinfo(each, 0, family, flags=flags)
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind(where)


def test_the_router_is_on_a_network_of_the_machine() -> None:
    networks = {home.name: [each.network for each in home.addresses] for home in read_interfaces()}
    for name, router in read_gateways().items():
        assert any(ip_address(router) in network for network in networks[name])


def test_what_the_kernel_says_of_addresses_and_routes_is_understood() -> None:
    with cable() as (box, client):
        link = ("dev", box.interface)
        for address, *more in (
            ("192.168.7.5/24",),
            ("2001:db8:1::5/64", "preferred_lft", "0"),
            ("2001:db8:2::5/64",),
        ):
            box.type("ip", "address", "add", address, *link, *more)
        box.type("ip", "route", "add", "default", "via", "192.168.7.1")
        home = next(each for each in box.inside(read_interfaces) if each.name == box.interface)
        assert home.fleeting == {"2001:db8:1::5"}
        assert choose_addresses("192.168.7.5", [home]).v6 == ("2001:db8:2::5",)
        assert box.inside(read_gateways) == {box.interface: "192.168.7.1"}
        assert client.inside(read_gateways) == {}


def test_an_address_that_somebody_else_has_is_left_out() -> None:
    with cable() as (box, client):
        for each in (client, box):
            each.set("accept_dad", "1")
            each.type("ip", "address", "add", "2001:db8:3::5/64", "dev", each.interface)
            until(lambda: "tentative" not in flags(client))
        until(lambda: "dadfailed" in flags(box))
        assert "2001:db8:3::5" not in str(box.inside(read_interfaces))
        assert "2001:db8:3::5" in str(client.inside(read_interfaces))


def flags(machine: Machine) -> str:
    return machine.type("ip", "-6", "-o", "address", "show", "dev", machine.interface)


def until(is_so: Callable[[], bool]) -> None:
    """Go on once `is_so`; the test's own timeout ends a wait that never does."""
    while not is_so():
        time.sleep(0.01)
