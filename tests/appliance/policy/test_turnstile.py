"""Connections counted: a bound for all, one for each, and the box's own let in."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.turnstile import (
    CONNECTIONS_MAX,
    SHARE,
    Turnstile,
    choose_connections_max,
)

OWN = "10.0.0.5"


def turnstile(connections_max: int) -> Turnstile:
    return Turnstile(lambda address: address == OWN, connections_max=connections_max)


def test_one_address_has_its_share_and_others_have_theirs() -> None:
    doors = turnstile(8)
    assert [doors.enter("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert doors.enter("10.0.0.2")
    assert doors.refused_count == 1


def test_all_together_have_no_more_than_the_bound() -> None:
    doors = turnstile(8)
    assert sum(doors.enter(f"10.0.1.{number}") for number in range(20)) == 8
    assert doors.connection_count == 8


def test_who_leaves_makes_room() -> None:
    doors = turnstile(4)
    assert doors.enter("10.0.0.1")
    assert not doors.enter("10.0.0.1")
    doors.leave("10.0.0.1")
    assert doors.enter("10.0.0.1")


def test_the_box_itself_is_let_in_whatever_the_crowd() -> None:
    doors = turnstile(4)
    for number in range(4):
        assert doors.enter(f"10.0.1.{number}")
    assert all(doors.enter(OWN) for _ in range(10))


@pytest.mark.parametrize(
    ("descriptors", "expected"),
    [
        pytest.param(65536, CONNECTIONS_MAX, id="the service's"),
        pytest.param(1024, 256, id="a system's default"),
        pytest.param(64, 1, id="nearly none"),
    ],
)
def test_a_process_that_may_open_few_files_takes_fewer(descriptors: int, expected: int) -> None:
    assert choose_connections_max(descriptors) == expected


@given(
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c", OWN])), max_size=60),
    bound=st.integers(1, 12),
)
def test_nobody_but_the_box_is_ever_past_a_bound(steps: list[tuple[bool, str]], bound: int) -> None:
    doors, inside = turnstile(bound), Counter[str]()
    for is_coming, address in steps:
        if is_coming:
            before = inside.total()
            if doors.enter(address):
                inside[address] += 1
                assert address == OWN or before < bound
                assert address == OWN or inside[address] <= max(1, bound // SHARE)
        elif inside[address]:
            doors.leave(address)
            inside[address] -= 1
        assert doors.connection_count == inside.total()
