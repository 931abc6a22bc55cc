"""Backoff: bounded, growing, spread out, and it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.backoff import (
    ATTEMPTS_MAX,
    DELAY_SECONDS_MAX,
    DELAY_SECONDS_MIN,
    MISMATCH_SECONDS_MAX,
    MISMATCH_SECONDS_MIN,
    choose_delay,
    choose_mismatch_pause,
)

attempts = st.integers(1, ATTEMPTS_MAX - 1)
jitters = st.floats(0, 1, exclude_max=True)
waits = st.none() | st.floats(0, allow_nan=False)


@given(st.integers(1, 10**6))
def test_wrong_bytes_again_and_again_are_asked_for_ever_more_seldom(count: int) -> None:
    pause, next_pause = choose_mismatch_pause(count), choose_mismatch_pause(count + 1)
    assert MISMATCH_SECONDS_MIN <= pause <= next_pause <= MISMATCH_SECONDS_MAX
    assert choose_mismatch_pause(1) == MISMATCH_SECONDS_MIN


@given(attempts, jitters, waits)
def test_a_delay_lies_within_its_bounds(attempt: int, jitter: float, asked: float | None) -> None:
    delay = choose_delay(attempt, jitter=jitter, retry_after_seconds=asked)
    assert delay is not None
    assert DELAY_SECONDS_MIN <= delay <= DELAY_SECONDS_MAX


@given(attempts, jitters, jitters)
def test_a_later_attempt_never_waits_less(attempt: int, one: float, other: float) -> None:
    now, then = choose_delay(attempt, jitter=one), choose_delay(attempt + 1, jitter=other)
    assert now is not None
    assert then is None or now <= then


@given(attempts, jitters, st.floats(0, DELAY_SECONDS_MAX))
def test_an_origin_that_names_its_time_is_not_asked_before(
    attempt: int, jitter: float, asked: float
) -> None:
    delay = choose_delay(attempt, jitter=jitter, retry_after_seconds=asked)
    assert delay is not None
    assert delay >= asked


@given(st.integers(ATTEMPTS_MAX, 10**6), jitters, waits)
def test_it_gives_up(attempt: int, jitter: float, asked: float | None) -> None:
    assert choose_delay(attempt, jitter=jitter, retry_after_seconds=asked) is None


@pytest.mark.parametrize(("attempt", "least"), [(1, 0.25), (2, 0.5), (3, 1), (4, 2), (5, 4)])
def test_it_doubles_and_spreads_over_as_much_again(attempt: int, least: float) -> None:
    assert choose_delay(attempt, jitter=0.0) == least
    assert choose_delay(attempt, jitter=0.5) == 1.5 * least


def test_a_client_that_waits_for_all_of_it_has_not_yet_restarted_its_part() -> None:
    delays = [choose_delay(attempt, jitter=0.999) or 0.0 for attempt in range(1, ATTEMPTS_MAX)]
    assert sum(delays) < 30.0
