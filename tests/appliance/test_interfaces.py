"""The machine's own addresses, against the machine itself."""

import socket
from ipaddress import ip_address

import pytest

from appliance.interfaces import read_gateways, read_interfaces


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
