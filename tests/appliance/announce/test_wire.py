"""Advertisements byte for byte, and whatever else may come in."""

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.announce.wire import (
    Advertisement,
    Prefix,
    format_advertisement,
    format_solicitation,
    is_solicitation,
    parse_advertisement,
)

ADDRESS = "64:ff9b:1:5::10"
# As radvd sends it: a lifetime of 1800, MTU and MAC, 2001:db8::/64 on link and autonomous.
RADVD = bytes.fromhex(
    "860012344000070800000000000000000501000000000578010102005e100001"
    "030440c0000151800000384000000000" + "20010db8000000000000000000000000"
)


def test_it_says_one_address_on_link_and_nothing_else() -> None:
    packet = format_advertisement(ADDRESS, 1800)
    assert packet == bytes.fromhex(
        "86000000" "00000000" "00000000" "00000000"  # No hop limit, flag, lifetime or timer.
        "03048080" "00000708" "00000708" "00000000"  # /128, on-link.
        "0064ff9b0001000500000000000000" "10"
    )  # fmt: skip
    network = IPv6Network(f"{ADDRESS}/128")
    prefix = Prefix(network, is_on_link=True, is_autonomous=False, valid_seconds=1800)
    assert parse_advertisement(packet) == Advertisement(0, (prefix,))


@given(st.ip_addresses(v=6).map(str), st.integers(0, 2**32 - 1))
def test_what_is_said_is_heard(address: str, valid_seconds: int) -> None:
    packet = format_advertisement(address, valid_seconds)
    network = IPv6Network(address)
    prefix = Prefix(network, is_on_link=True, is_autonomous=False, valid_seconds=valid_seconds)
    assert parse_advertisement(packet) == Advertisement(0, (prefix,))


def test_a_router_s_advertisement_is_read() -> None:
    network = IPv6Network("2001:db8::/64")
    prefix = Prefix(network, is_on_link=True, is_autonomous=True, valid_seconds=86400)
    assert parse_advertisement(RADVD) == Advertisement(1800, (prefix,))


@given(st.integers(0, len(RADVD) - 1))
def test_one_that_is_cut_is_none_or_shorter_by_whole_options(size_bytes: int) -> None:
    found = parse_advertisement(RADVD[:size_bytes])
    assert (found is not None) == (size_bytes in (16, 24, 32))
    assert found is None or found == Advertisement(1800, ())


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"\x86\x01" + RADVD[2:], id="a code that is not zero"),
        pytest.param(b"\x85" + RADVD[1:], id="a solicitation's type"),
        pytest.param(RADVD[:16] + b"\x05\x00" + RADVD[18:], id="an option of no length"),
        pytest.param(RADVD + b"\x03", id="half an option's head"),
    ],
)
def test_what_rfc_4861_says_to_ignore_is_ignored(packet: bytes) -> None:
    assert parse_advertisement(packet) is None


def test_an_odd_prefix_is_left_out() -> None:
    too_wide = RADVD[:32] + b"\x03\x04\x81" + RADVD[35:]
    assert parse_advertisement(too_wide) == Advertisement(1800, ())


@given(st.binary(max_size=200) | st.binary(max_size=200).map(RADVD[:16].__add__))
def test_any_bytes_are_an_advertisement_or_none(packet: bytes) -> None:
    found = parse_advertisement(packet)
    assert found is None or len(found.prefixes) <= len(packet) // 32
    assert not (found and is_solicitation(packet))


def test_solicitations_are_told_apart() -> None:
    assert format_solicitation() == bytes.fromhex("8500000000000000")
    assert is_solicitation(format_solicitation())
    assert is_solicitation(format_solicitation() + bytes.fromhex("010102005e100001"))
    assert not is_solicitation(format_solicitation()[:-1])
    assert not is_solicitation(format_solicitation() + bytes(8))
    assert not is_solicitation(RADVD)
