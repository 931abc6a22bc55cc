"""The lines that operators copy: read back, they are the routes that were meant."""

import re
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.recipes import (
    Lan,
    Recipe,
    list_address_recipes,
    list_addressless_recipes,
    list_announcing_recipes,
    list_dhcp_recipes,
    list_route_recipes,
    plan_routes,
)
from appliance.policy.routes_option import Route, decode_routes

BLOB = "203.0.113.10"
LAN = Lan("192.168.1.5", "192.168.1.1", "192.168.1.0/24", "eth0")

addresses = st.ip_addresses(v=4).map(str)
lans = st.builds(Lan, addresses, addresses)


def read_back(line: str) -> tuple[Route, ...] | None:
    """The routes that a line of any DHCP server's gives; None where it gives none."""
    if found := re.fullmatch(r"dhcp-option=(?:121|249),(.*)", line):
        words = found[1].split(",")
        return tuple(map(Route.parse, words[::2], words[1::2]))
    if found := re.fullmatch(r"option (?:rfc3442|ms)-classless-static-routes ([\d, ]+);", line):
        return decode_routes(bytes(map(int, found[1].split(","))))
    if found := re.search(r'"data": "([0-9a-f]+)"|value=0x([0-9a-f]+)', line):
        return decode_routes(bytes.fromhex(found[1] or found[2]))
    return None


@given(lans, addresses)
def test_every_dhcp_line_gives_both_options_the_default_route_and_the_way_to_the_box(
    lan: Lan, blob_address: str
) -> None:
    meant = plan_routes(lan, blob_address)
    assert meant[0] == Route.parse("0.0.0.0/0", lan.router)
    assert meant[1].router == IPv4Address(lan.box)
    recipes = list(list_dhcp_recipes(lan, blob_address))
    assert len(recipes) == 4
    for recipe in recipes:
        given_routes = [routes for line in recipe.lines if (routes := read_back(line))]
        assert given_routes == [meant, meant]
        text = "\n".join(recipe.lines)
        assert "121" in text
        assert "249" in text


@given(lans, addresses)
def test_what_one_adds_one_takes_back(lan: Lan, blob_address: str) -> None:
    recipes = [*list_route_recipes(lan, blob_address), *list_address_recipes(blob_address)]
    for recipe in recipes:
        assert recipe.undo
        assert recipe.undo != recipe.lines
        if recipe.lines[0].startswith("ip "):
            assert recipe.undo[0].replace(" del ", " add ") == recipe.lines[0]


def test_the_ways_that_need_no_address_are_those_that_the_box_has() -> None:
    plain, proxy = list_addressless_recipes(LAN, 3128)
    assert plain == Recipe(plain.title, ("ollama pull --insecure NAME",))
    assert "Environment=HTTPS_PROXY=http://192.168.1.5:3128" in proxy.lines
    assert list(list_addressless_recipes(LAN, None)) == [plain]


def test_a_network_whose_router_is_unknown_has_no_dhcp_lines() -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        list(list_dhcp_recipes(Lan("192.168.1.5"), BLOB))


def test_mikrotik_changes_the_network_it_is_told_of() -> None:
    def mikrotik(lan: Lan) -> Recipe:
        return list(list_dhcp_recipes(lan, BLOB))[-1]

    assert "[find address=192.168.1.0/24]" in mikrotik(LAN).lines[-1]
    assert "[find address=192.168.1.0/24]" in mikrotik(LAN).undo[0]
    assert "set [find] " in mikrotik(Lan("192.168.1.5", "192.168.1.1")).lines[-1]


def test_announcing_names_the_interface_that_clients_are_on() -> None:
    address, *_ = list_announcing_recipes("br0", "64:ff9b:1::5")
    assert address.lines == ("ip -6 address add 64:ff9b:1::5/128 dev br0",)
