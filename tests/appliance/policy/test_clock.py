"""The clock against its witnesses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.clock import SKEW_SECONDS_MAX, why_untimely

NOON, DAY = 1_700_000_000.0, 86400.0


@pytest.mark.parametrize(
    ("now", "origin_time", "is_misdated", "words"),
    [
        pytest.param(NOON, NOON, False, "", id="right"),
        pytest.param(NOON, None, False, "", id="nobody speaks against it"),
        pytest.param(NOON, NOON - DAY + 1, False, "", id="a day is borne"),
        pytest.param(NOON, NOON - 365 * DAY, False, "365 days ahead of", id="a year ahead"),
        pytest.param(NOON, NOON + 2 * DAY, False, "2 days behind", id="two days behind"),
        pytest.param(NOON, None, True, "not of today", id="the origin's certificate"),
        pytest.param(NOON, NOON, True, "", id="and yet its answers are of today"),
        pytest.param(NOON - 40 * DAY, None, False, "own CA", id="before the CA was made"),
        pytest.param(0.0, None, True, "own CA", id="a machine without a clock"),
    ],
)
def test_what_its_witnesses_say(
    now: float, origin_time: float | None, words: str, *, is_misdated: bool
) -> None:
    told = why_untimely(
        now, not_before=NOON - 30 * DAY, origin_time=origin_time, is_misdated=is_misdated
    )
    assert (words in told, bool(words)) == (True, bool(told))


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_what_the_origin_says_is_believed_beyond_a_day(now: float, origin_time: float) -> None:
    told = why_untimely(now, not_before=0, origin_time=origin_time, is_misdated=False)
    assert bool(told) == (abs(now - origin_time) > SKEW_SECONDS_MAX)
