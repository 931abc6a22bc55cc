"""Delivery: DESIGN's table as data, row by row, and what holds for every client there is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.delivery import (
    Delivery,
    DeliveryPolicy,
    Door,
    Fallback,
    choose_delivery,
    refuses_private,
)
from appliance.protocol.clients import Client, parse_client

POLICY = DeliveryPolicy(refuse_private_from=(0, 35, 2))
REFUSING = replace(POLICY, fallback=Fallback.REFUSE)
PLAIN = replace(POLICY, always_plain=True)

FIRST = "ollama/0.1.2"
EARLY = "ollama/0.5.6 (amd64 linux) Go/go1.23.4"
MIDDLE = "ollama/0.5.7 (amd64 linux) Go/go1.23.4"
LAST_OLD = "ollama/0.35.1 (amd64 linux) Go/go1.26.6"
LAST_OLD_RC = "ollama/0.35.1-rc3 (amd64 linux) Go/go1.26.6"
THRESHOLD_RC = "ollama/0.35.2-rc0 (amd64 linux) Go/go1.26.6"
THRESHOLD = "ollama/0.35.2 (amd64 linux) Go/go1.26.6"
NEWER = "ollama/1.0.0 (arm64 darwin) Go/go1.27.0"
UNVERSIONED = "ollama/0.0.0 (amd64 linux) Go/go1.26.6"
UNPARSABLE = "ollama/0.36.0+dirty"
TENSOR = "ollama-transfer/1.0"
CURL = "curl/8.5.0"
NOBODY = ""

OLD = (FIRST, EARLY, MIDDLE, LAST_OLD, LAST_OLD_RC)
NEWEST = (THRESHOLD_RC, THRESHOLD, NEWER, UNVERSIONED, UNPARSABLE, TENSOR)
STRANGERS = (CURL, NOBODY)

BY_NAME, BY_ADDRESS = False, True

# How it came, what it is, how it named the box, and so: what it is told.
TABLE = [
    *((POLICY, Door.HTTP, each, BY_NAME, Delivery.REDIRECT) for each in OLD + NEWEST),
    *((POLICY, Door.HTTP, each, BY_NAME, Delivery.INLINE) for each in STRANGERS),
    *((POLICY, Door.HTTP, each, BY_ADDRESS, Delivery.INLINE) for each in STRANGERS),
    *((POLICY, Door.HTTP, each, BY_ADDRESS, Delivery.INLINE) for each in (FIRST, EARLY)),
    *((POLICY, Door.HTTP, each, BY_ADDRESS, Delivery.LOCATION) for each in (MIDDLE, LAST_OLD)),
    *((POLICY, Door.HTTP, each, BY_ADDRESS, Delivery.LOCATION) for each in (THRESHOLD, NEWER)),
    # They say no version, and the tensor path needs the whole body.
    *((POLICY, Door.HTTP, each, BY_ADDRESS, Delivery.INLINE) for each in (UNVERSIONED, TENSOR)),
    *((POLICY, Door.HTTPS, each, BY_NAME, Delivery.REDIRECT) for each in OLD + STRANGERS),
    *((POLICY, Door.HTTPS, each, BY_NAME, Delivery.ORIGIN) for each in NEWEST),
    *((REFUSING, Door.HTTPS, each, BY_NAME, Delivery.REDIRECT) for each in OLD + STRANGERS),
    *((REFUSING, Door.HTTPS, each, BY_NAME, Delivery.REFUSE) for each in NEWEST),
    *((REFUSING, Door.HTTP, each, BY_NAME, Delivery.REDIRECT) for each in OLD + NEWEST),
    *((PLAIN, Door.HTTPS, each, BY_NAME, Delivery.REDIRECT) for each in OLD + NEWEST + STRANGERS),
]

versions = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
clients = st.builds(Client, st.just(True), st.none() | versions) | st.just(Client(is_ollama=False))
policies = st.builds(DeliveryPolicy, versions, st.sampled_from(Fallback), st.booleans())


@pytest.mark.parametrize(("policy", "door", "user_agent", "by_address", "delivery"), TABLE)
def test_the_table(
    policy: DeliveryPolicy, door: Door, user_agent: str, by_address: bool, delivery: Delivery
) -> None:
    client = parse_client(user_agent)
    assert choose_delivery(policy, door, client, dialled_by_address=by_address) is delivery


@given(policies, clients, st.booleans())
def test_https_is_never_answered_with_a_body(
    policy: DeliveryPolicy, client: Client, by_address: bool
) -> None:
    """Over TLS the bytes cost several times as much, and no https client needs them there."""
    told = choose_delivery(policy, Door.HTTPS, client, dialled_by_address=by_address)
    assert told not in (Delivery.INLINE, Delivery.LOCATION)


@given(policies, clients, st.booleans())
def test_in_the_clear_everybody_is_served_by_the_box(
    policy: DeliveryPolicy, client: Client, by_address: bool
) -> None:
    told = choose_delivery(policy, Door.HTTP, client, dialled_by_address=by_address)
    assert told not in (Delivery.ORIGIN, Delivery.REFUSE)


@given(policies, clients)
def test_a_redirect_to_the_name_just_dialled_is_never_given(
    policy: DeliveryPolicy, client: Client
) -> None:
    told = choose_delivery(policy, Door.HTTP, client, dialled_by_address=True)
    assert told is not Delivery.REDIRECT


@given(policies, versions, versions)
def test_once_clients_refuse_all_newer_ones_do(
    policy: DeliveryPolicy, one: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    older, newer = (Client(is_ollama=True, version=each) for each in sorted((one, other)))
    assert refuses_private(policy, older) <= refuses_private(policy, newer)


@given(policies)
def test_an_unknown_version_is_taken_for_the_newest(policy: DeliveryPolicy) -> None:
    assert refuses_private(policy, Client(is_ollama=True, version=None))
    assert not refuses_private(policy, Client(is_ollama=False))
