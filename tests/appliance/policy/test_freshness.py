"""Freshness: a tag for a short while, a digest for ever, and nothing for the wrong client."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.freshness import Freshness, fits, judge_freshness
from appliance.protocol.clients import Client, Version

instants = st.floats(0, 1e12)
durations = st.floats(0, 1e9)
versions = st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))


def judge(checked_at: float, now: float, fresh_seconds: float = 60.0) -> Freshness:
    return judge_freshness(
        checked_at=checked_at, now=now, fresh_seconds=fresh_seconds, is_immutable=False
    )


@pytest.mark.parametrize(
    ("age", "freshness"),
    [
        (0.0, Freshness.FRESH),
        (59.9, Freshness.FRESH),
        (60.0, Freshness.STALE),
        (1e9, Freshness.STALE),
        (-0.1, Freshness.STALE),
        (-1e6, Freshness.STALE),
    ],
)
def test_a_tag_is_fresh_for_as_long_as_is_set(age: float, freshness: Freshness) -> None:
    assert judge(1_700_000_000.0, 1_700_000_000.0 + age) is freshness


def test_zero_seconds_ask_every_time() -> None:
    assert judge(1000.0, 1000.0, fresh_seconds=0.0) is Freshness.STALE


@given(instants, instants, durations)
def test_what_cannot_change_is_always_fresh(checked_at: float, now: float, fresh: float) -> None:
    judged = judge_freshness(checked_at=checked_at, now=now, fresh_seconds=fresh, is_immutable=True)
    assert judged is Freshness.FRESH


@given(instants, instants, durations)
def test_a_check_in_the_future_is_no_check(one: float, other: float, fresh: float) -> None:
    now, checked_at = sorted((one, other))
    if now < checked_at:
        assert judge(checked_at, now, fresh) is Freshness.STALE


@given(instants, durations, durations, durations)
def test_what_is_stale_stays_so(checked_at: float, age: float, more: float, fresh: float) -> None:
    if judge(checked_at, checked_at + age, fresh) is Freshness.STALE:
        assert judge(checked_at, checked_at + age + more, fresh) is Freshness.STALE


@pytest.mark.parametrize(
    ("version", "lowest", "is_fit"),
    [
        ((0, 33, 0), (0, 33, 0), True),
        ((0, 33, 1), (0, 33, 0), True),
        ((0, 4, 0), (0, 33, 0), False),
        ((0, 32, 9), (0, 33, 0), False),
        (None, (0, 33, 0), False),
        ((0, 33, 0), None, False),
        (None, None, False),
    ],
)
def test_an_answer_fits_clients_at_least_as_new(
    version: Version | None, lowest: Version | None, is_fit: bool
) -> None:
    assert fits(Client(is_ollama=True, version=version), lowest) is is_fit


@given(st.none() | versions)
def test_an_answer_to_any_ollama_fits_what_is_none(lowest: Version | None) -> None:
    assert fits(Client(is_ollama=False), lowest)


@given(versions, versions, versions)
def test_it_fits_every_newer_client_too(low: Version, one: Version, other: Version) -> None:
    older, newer = (Client(is_ollama=True, version=each) for each in sorted((one, other)))
    assert fits(older, low) <= fits(newer, low)
