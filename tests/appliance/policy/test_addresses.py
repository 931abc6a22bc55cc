"""Addresses: what Ollama calls public, what may be dialled, who is local, what to answer with."""

from ipaddress import IPv4Address, IPv6Address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.addresses import (
    SYSTEM_SERVERS_MAX,
    Addresses,
    AddressRefusedError,
    Interface,
    check_origin_address,
    choose_addresses,
    is_allowed,
    is_global_v6,
    is_public,
    local_networks,
    name_refusal,
    parse_address,
    parse_server,
    parse_system_servers,
    respell,
)


def interface(name: str, *addresses: str) -> Interface:
    return Interface(name, tuple(ip_interface(each) for each in addresses))


LOOPBACK = interface("lo", "127.0.0.1/8", "::1/128")
LAN = interface("eth0", "192.168.1.5/24", "192.168.1.6/24", "fd00::5/64", "fe80::5%eth0/64")
LAN_V6 = interface("eth1", "10.0.0.5/8", "fe80::5%eth1/64", "2001:db8:1::5/64", "2001:db8:2::5/64")
ONLY_V6 = interface("eth2", "2001:db8:3::5/64")
MACHINE = (LOOPBACK, LAN, LAN_V6, ONLY_V6)

NOT_PUBLIC = [
    *("10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.10", "fc00::1", "fd12::1"),
    *("127.0.0.1", "127.9.9.9", "::1", "169.254.1.1", "fe80::1", "fe80::1%eth0"),
    *("100.64.0.1", "100.127.255.255", "198.18.0.1", "198.19.255.255"),
    *("0.0.0.0", "::", "224.0.0.1", "239.255.255.255", "ff02::1"),
    *("::ffff:192.168.1.10", "::ffff:127.0.0.1", "::ffff:100.64.0.1"),
]
PUBLIC = [
    *("1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "::ffff:1.1.1.1"),
    *("203.0.113.10", "192.0.2.10", "198.51.100.10", "240.0.0.1", "192.0.0.8", "192.88.99.1"),
    *("2001:db8::1", "2606:4700::1"),
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_the_newest_clients_refuse(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_newest_clients_accept(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_origin_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError) as caught:
        check_origin_address(address, frozenset(), allow_private=False)
    assert caught.value.address == address
    assert caught.value.hint


@pytest.mark.parametrize("address", PUBLIC)
def test_an_origin_that_is_public_passes(address: str) -> None:
    check_origin_address(address, frozenset(), allow_private=False)


@pytest.mark.parametrize("address", ["203.0.113.10", "::ffff:203.0.113.10"])
def test_the_box_is_never_its_own_origin(address: str) -> None:
    with pytest.raises(AddressRefusedError, match="this box itself") as caught:
        check_origin_address(address, frozenset({"203.0.113.10"}), allow_private=False)
    assert "dns.upstream" in caught.value.hint


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.1.10", "::1", "fd00::1", "169.254.1.1"])
def test_a_private_origin_may_be_allowed(address: str) -> None:
    check_origin_address(address, frozenset({address}), allow_private=True)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "ff02::1", "255.255.255.255"]
)
def test_some_addresses_are_never_dialled(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        check_origin_address(address, frozenset(), allow_private=True)


def test_local_is_what_the_numbers_say_and_the_own_subnets() -> None:
    networks = local_networks([interface("eth0", "203.0.113.5/24", "2001:db8:1::5/64")])
    for client in ("127.0.0.1", "::1", "10.9.9.9", "192.168.9.9", "169.254.3.3", "fd00::9"):
        assert is_allowed(client, networks)
    for client in ("203.0.113.77", "::ffff:203.0.113.77", "2001:db8:1::77", "fe80::9%eth0"):
        assert is_allowed(client, networks)
    for client in ("203.0.114.1", "1.1.1.1", "2001:db8:2::77", "100.64.0.1", "::ffff:1.1.1.1"):
        assert not is_allowed(client, networks)


def test_a_tunnel_to_everywhere_makes_nobody_local() -> None:
    networks = local_networks([interface("tun0", "203.0.113.5/0", "2001:db8::5/0")])
    assert not is_allowed("1.1.1.1", networks)
    assert not is_allowed("2606:4700::1", networks)


def test_a_scope_is_no_part_of_a_local_network() -> None:
    assert ip_network("fe80::/64") in local_networks([LAN])


@pytest.mark.parametrize(
    ("asked_at", "answer"),
    [
        pytest.param("192.168.1.5", Addresses(("192.168.1.5",)), id="as asked; fd00 is not global"),
        pytest.param("192.168.1.6", Addresses(("192.168.1.6",)), id="the second one, as asked"),
        pytest.param("10.0.0.5", Addresses(("10.0.0.5",), ("2001:db8:1::5",)), id="and its first"),
        pytest.param(
            "2001:db8:2::5",
            Addresses(("10.0.0.5",), ("2001:db8:2::5",)),
            id="asked at a global one",
        ),
        pytest.param("fd00::5", Addresses(("192.168.1.5",)), id="asked at a local one"),
        pytest.param(
            "fe80::5%eth1", Addresses(("10.0.0.5",), ("2001:db8:1::5",)), id="the scope decides"
        ),
        pytest.param("2001:db8:3::5", Addresses((), ("2001:db8:3::5",)), id="no IPv4 there"),
        pytest.param("127.0.0.1", Addresses(("192.168.1.5",)), id="loopback: the first other"),
        pytest.param("::1", Addresses(("192.168.1.5",)), id="loopback, IPv6"),
        pytest.param("10.9.9.9", Addresses(("10.9.9.9",)), id="newer than the last scan"),
        pytest.param("fd99::9", Addresses(), id="newer, and nothing to answer with"),
    ],
)
def test_the_answer_is_of_the_interface_that_was_asked(asked_at: str, answer: Addresses) -> None:
    assert choose_addresses(asked_at, MACHINE) == answer


@pytest.mark.parametrize("configured", ["192.168.1.200", "127.0.0.1"])
def test_a_configured_address_stands_alone(configured: str) -> None:
    assert choose_addresses("10.0.0.5", MACHINE, configured) == Addresses((configured,))
    assert choose_addresses("10.0.0.5", MACHINE, "2001:db8::9") == Addresses((), ("2001:db8::9",))


def test_what_loopback_was_given_answers_nobody() -> None:
    loopback = interface("lo", "127.0.0.1/8", "203.0.113.10/32")
    assert choose_addresses("127.0.0.1", [loopback, LAN]) == Addresses(("192.168.1.5",))
    assert not choose_addresses("127.0.0.1", [loopback])


def test_an_address_that_lasts_comes_before_one_that_does_not() -> None:
    addresses = LAN_V6.addresses
    home = Interface("eth1", addresses, frozenset({"2001:db8:1::5"}))
    assert choose_addresses("10.0.0.5", [home]).v6 == ("2001:db8:2::5",)
    both = frozenset({"2001:db8:1::5", "2001:db8:2::5"})
    assert choose_addresses("10.0.0.5", [Interface("eth1", addresses, both)]).v6 == (
        "2001:db8:1::5",
    )


@pytest.mark.parametrize(
    ("address", "is_global"),
    [
        ("2001:db8::1", True),
        ("2a01::1", True),
        ("fd00::1", False),
        ("fe80::1%eth0", False),
        ("64:ff9b:1::1", False),
        ("192.168.1.5", False),
        ("::ffff:1.1.1.1", False),
    ],
)
def test_global_is_what_providers_hand_out(address: str, *, is_global: bool) -> None:
    assert is_global_v6(address) is is_global


def test_a_refusal_has_its_reason() -> None:
    assert (name_refusal("192.168.1.1"), name_refusal("::1")) == ("private", "loopback")
    assert name_refusal("203.0.113.10") is None


def test_a_machine_with_loopback_only_has_nothing_to_answer_with() -> None:
    assert not choose_addresses("127.0.0.1", [LOOPBACK])


@given(st.sampled_from([str(each.ip) for home in MACHINE for each in home.addresses]))
def test_no_answer_is_loopback_or_link_local_unasked(asked_at: str) -> None:
    found = choose_addresses(asked_at, MACHINE)
    for each in found.v4 + found.v6:
        address = parse_address(each)
        assert not address.is_loopback
        assert not address.is_link_local
        assert not address.is_unspecified


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("1.1.1.1", ("1.1.1.1", 53)),
        (" 1.1.1.1 ", ("1.1.1.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]", ("::1", 53)),
        ("[::1]:53", ("::1", 53)),
        ("[2606:4700:4700:0::1111]:65535", ("2606:4700:4700::1111", 65535)),
        ("fe80::1%eth0", ("fe80::1%eth0", 53)),
    ],
)
def test_a_server_as_people_write_it(text: str, server: tuple[str, int]) -> None:
    assert parse_server(text) == server


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no address"),
        ("dns.google", "no address"),
        ("dns.google:53", "no address"),
        ("[::1", "no address"),
        ("1.1.1.1.1", "no address"),
        ("0.0.0.0", "not an address that a server can have"),
        ("224.0.0.1", "not an address that a server can have"),
        ("1.1.1.1:", "port"),
        ("1.1.1.1:0", "port"),
        ("1.1.1.1:65536", "port"),
        ("1.1.1.1:9999999", "port"),
        ("1.1.1.1:+53", "port"),
        ("1.1.1.1:\u0665\u0663", "port"),
        ("[::1]x", "port"),
    ],
)
def test_a_server_that_is_none_says_why(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_server(text)


@given(st.text() | st.from_regex(r"\[?[0-9a-f:.]*\]?(:[0-9]*)?"))
def test_any_text_is_a_server_or_says_why_not(text: str) -> None:
    try:
        host, port = parse_server(text)
    except ValueError:
        return
    assert 0 < port < 65536
    assert str(parse_address(host)) != "0.0.0.0"


def test_resolv_conf_names_the_system_s_servers() -> None:
    text = """
# made by hand
search lan
nameserver 192.168.1.1
nameserver fe80::1%eth0  # the router
nameserver
nameserver here
options edns0
 nameserver 2001:db8::53
nameserver 9.9.9.9
"""
    servers = (("192.168.1.1", 53), ("fe80::1%eth0", 53), ("2001:db8::53", 53))
    assert parse_system_servers(text) == servers


@given(st.text())
def test_any_resolv_conf_is_read(text: str) -> None:
    assert len(parse_system_servers(text)) <= SYSTEM_SERVERS_MAX


@pytest.mark.parametrize("text", ["", "box", "1.2.3", "1.2.3.4/24", "::g"])
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Addresses.sort([text])


def test_addresses_are_sorted_by_kind() -> None:
    found = Addresses.sort(["2001:db8::2", "1.2.3.4", "::ffff:5.6.7.8", "2001:db8:0::1"])
    assert found == Addresses(("1.2.3.4", "5.6.7.8"), ("2001:db8::2", "2001:db8::1"))


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2000::/3"))
def test_an_address_respelled_is_the_same_and_spelled_otherwise(
    address: IPv4Address | IPv6Address,
) -> None:
    again = respell(str(address))
    assert again != str(address)
    assert parse_address(again) == parse_address(str(address))
