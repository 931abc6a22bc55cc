"""The rate of a line: known after a window, quick to rise, slow to fall."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.linerate import HALVING_SECONDS, WINDOW_SECONDS, LineRate


def test_nothing_is_known_before_the_first_window_is_over() -> None:
    rate = LineRate()
    assert rate.bytes_per_second(5.0) is None
    rate.add(1000, 10.0)
    assert rate.bytes_per_second(10.0 + WINDOW_SECONDS / 2) is None
    assert rate.bytes_per_second(10.0 + WINDOW_SECONDS) == 1000 / WINDOW_SECONDS


def test_a_faster_window_is_believed_at_once() -> None:
    rate = LineRate()
    rate.add(100, 0.0)
    rate.bytes_per_second(1.0)
    rate.add(5000, 1.5)
    assert rate.bytes_per_second(2.0) == 5000


def test_a_pause_halves_it_once_a_while() -> None:
    rate = LineRate()
    rate.add(8000, 0.0)
    assert rate.bytes_per_second(1.0) == 8000
    assert rate.bytes_per_second(1.0 + HALVING_SECONDS) == pytest.approx(4000)
    assert rate.bytes_per_second(1.0 + 3 * HALVING_SECONDS) == pytest.approx(1000)


@given(st.integers(1, 10**9), st.integers(8, 40))
def test_a_steady_line_is_measured_as_it_is(bytes_per_second: int, count: int) -> None:
    rate = LineRate()
    for tick in range(count):
        rate.add(bytes_per_second // 8, tick / 8)
        seen = rate.bytes_per_second(tick / 8)
        if seen is not None:
            assert 0.9 * (bytes_per_second - 8) <= seen <= 1.6 * bytes_per_second
