"""RFC 3442: its own examples, both ways, and whatever else there could be."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.routes_option import Route, decode_routes, encode_routes

ROUTER = IPv4Address("10.0.0.1")

networks = st.builds(
    lambda number, width: IPv4Network((number, width), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)
routes = st.builds(Route, networks, st.ip_addresses(v=4))


@pytest.mark.parametrize(
    ("network", "descriptor"),
    [
        ("0.0.0.0/0", "0"),
        ("10.0.0.0/8", "8.10"),
        ("10.0.0.0/24", "24.10.0.0"),
        ("10.17.0.0/16", "16.10.17"),
        ("10.27.129.0/24", "24.10.27.129"),
        ("10.229.0.128/25", "25.10.229.0.128"),
        ("10.198.122.47/32", "32.10.198.122.47"),
    ],
)
def test_the_rfc_s_own_examples(network: str, descriptor: str) -> None:
    value = bytes(map(int, descriptor.split("."))) + ROUTER.packed
    assert encode_routes((Route.parse(network, "10.0.0.1"),)) == value
    assert decode_routes(value) == (Route(IPv4Network(network), ROUTER),)


@given(st.lists(routes, max_size=28).map(tuple))
def test_what_is_written_is_read(written: tuple[Route, ...]) -> None:
    assert decode_routes(encode_routes(written)) == written


@given(st.binary(max_size=300))
def test_any_bytes_are_routes_or_refused(value: bytes) -> None:
    try:
        found = decode_routes(value)
    except ValueError:
        return
    if len(value) <= 255:
        assert encode_routes(found) == value


def test_more_than_one_option_holds_is_refused() -> None:
    route = Route.parse("203.0.113.10/32", "192.168.1.5")
    assert len(encode_routes((route,) * 28)) == 252
    with pytest.raises(ValueError, match="do not fit"):
        encode_routes((route,) * 29)


@pytest.mark.parametrize("router", ["", "box", "fd00::1"])
def test_a_route_needs_addresses(router: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be empty|Expected 4 octets"):
        Route.parse("0.0.0.0/0", router)
