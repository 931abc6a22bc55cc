"""Where the blob host is, and who is sent there: never without both kinds of evidence."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.addresses import Addresses, Interface, is_public
from appliance.policy.blob_addresses import (
    BlobPlace,
    choose_announced,
    choose_blob_addresses,
    decide_offer,
)


def interface(name: str, *addresses: str) -> Interface:
    return Interface(name, tuple(ip_interface(each) for each in addresses))


V4, V6, ANNOUNCED = "203.0.113.10", "2001:db8:9::10", "64:ff9b:1::5"
LOOPBACK = interface("lo", "127.0.0.1/8", f"{V4}/32")
DUAL = interface("eth0", "192.168.1.5/24", "2001:db8:1::5/64", "fd00::5/64", "fe80::5%eth0/64")
LEGACY = interface("eth1", "10.0.0.5/24", f"{ANNOUNCED}/128", "fe80::5%eth1/64")
MACHINE = (LOOPBACK, DUAL, LEGACY)

NOWHERE = BlobPlace()
SET = BlobPlace(Addresses((V4,)))
ANNOUNCING = BlobPlace(announced=ANNOUNCED)


@pytest.mark.parametrize(
    ("place", "asked_at", "addresses"),
    [
        pytest.param(NOWHERE, "192.168.1.5", Addresses((), ("2001:db8:1::5",)), id="its own"),
        pytest.param(NOWHERE, "10.0.0.5", Addresses(), id="another network's is not its own"),
        pytest.param(SET, "10.0.0.5", Addresses((V4,)), id="set, and on loopback"),
        pytest.param(SET, "192.168.1.5", Addresses((V4,), ("2001:db8:1::5",)), id="both"),
        pytest.param(BlobPlace(Addresses((), (V6,))), "10.0.0.5", Addresses(), id="not had"),
        pytest.param(
            BlobPlace(Addresses((), (V6,)), is_published=True),
            "192.168.1.5",
            Addresses((), (V6,)),
            id="not had, on the operator's word, and before its own",
        ),
        pytest.param(
            BlobPlace(Addresses(("198.51.100.7",)), box_address="192.168.7.7"),
            "192.168.1.5",
            Addresses(("198.51.100.7",)),
            id="in a container",
        ),
        pytest.param(ANNOUNCING, "10.0.0.5", Addresses((), (ANNOUNCED,)), id="announced"),
        pytest.param(ANNOUNCING, "192.168.1.5", Addresses((), ("2001:db8:1::5",)), id="no need"),
        pytest.param(BlobPlace(announced="64:ff9b:1::6"), "10.0.0.5", Addresses(), id="not there"),
    ],
)
def test_the_blob_host_is_there(place: BlobPlace, asked_at: str, addresses: Addresses) -> None:
    assert choose_blob_addresses(asked_at, MACHINE, place) == addresses


def offer(
    place: BlobPlace,
    dialled: str,
    *,
    is_known: bool = True,
    is_announcing: bool = False,
) -> bool:
    return decide_offer(
        choose_blob_addresses(dialled, MACHINE, place),
        place,
        dialled,
        is_known=is_known,
        is_announcing=is_announcing,
    )


def test_an_ipv6_blob_host_is_for_those_that_came_by_ipv6() -> None:
    assert offer(NOWHERE, "2001:db8:1::5")
    assert not offer(NOWHERE, "192.168.1.5")
    assert not offer(NOWHERE, "fd00::5")
    assert not offer(NOWHERE, "fe80::5%eth0")
    assert not offer(NOWHERE, "::ffff:192.168.1.5")


def test_an_address_that_was_set_is_for_all() -> None:
    assert offer(SET, "192.168.1.5")
    assert offer(SET, "10.0.0.5")
    assert not offer(BlobPlace(Addresses(("203.0.113.11",))), "10.0.0.5")


def test_an_announced_address_is_for_all_while_it_is_announced() -> None:
    assert offer(ANNOUNCING, "10.0.0.5", is_announcing=True)
    assert not offer(ANNOUNCING, "10.0.0.5", is_announcing=False)
    assert not offer(ANNOUNCING, "192.168.1.5", is_announcing=True)


@pytest.mark.parametrize("place", [SET, replace(SET, announced=ANNOUNCED)])
def test_nobody_is_sent_to_a_name_that_may_not_resolve(place: BlobPlace) -> None:
    for dialled in ("192.168.1.5", "2001:db8:1::5", "10.0.0.5"):
        assert not offer(place, dialled, is_known=False, is_announcing=True)
        assert offer(place, dialled)
        assert offer(replace(place, is_published=True), dialled, is_known=False)


def test_published_is_a_word_about_the_address_that_was_set() -> None:
    published = BlobPlace(Addresses((), (V6,)), is_published=True)
    assert offer(published, "10.0.0.5", is_known=False)
    assert not offer(replace(published, is_published=False), "10.0.0.5")
    own = BlobPlace(is_published=True)
    assert not offer(own, "192.168.1.5", is_known=False)
    assert offer(own, "2001:db8:1::5", is_known=False)


@given(st.binary(min_size=32, max_size=32))
def test_the_announced_address_is_the_box_s_alone_and_looks_public(secret: bytes) -> None:
    address = choose_announced(Addresses(), secret)
    assert address == choose_announced(Addresses(), secret)
    assert address != choose_announced(Addresses(), secret[::-1] + b"x")
    assert IPv6Address(address) in IPv6Network("64:ff9b:1::/48")
    assert IPv6Address(address).packed[8] == 0
    assert is_public(address)
    assert choose_announced(Addresses((), (V6,)), secret) == V6


texts = st.ip_addresses().map(str)


@given(
    dialled=texts | st.sampled_from(["10.0.0.5", "2001:db8:1::5"]),
    configured=st.lists(texts, max_size=4).map(Addresses.sort),
    announced=texts | st.just(ANNOUNCED),
    box_address=st.just("") | texts,
    is_published=st.booleans(),
    is_announcing=st.booleans(),
)
def test_whatever_is_set_the_addresses_are_public_and_none_is_never_offered(
    dialled: str,
    configured: Addresses,
    announced: str,
    box_address: str,
    *,
    is_published: bool,
    is_announcing: bool,
) -> None:
    place = BlobPlace(configured, announced, box_address, is_published)
    found = choose_blob_addresses(dialled, MACHINE, place)
    assert all(map(is_public, (*found.v4, *found.v6)))
    if offer(place, dialled, is_announcing=is_announcing):
        assert found
