"""Numbers out of numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import format_number, growth_exponent, percentile

AMOUNTS = (1.0, 10.0, 100.0, 1000.0)


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 50), (0.99, 99), (1, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(each) for each in range(100, 0, -1)], share) == value


def test_of_nothing_there_is_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@given(scale=st.floats(1e-6, 1e6))
def test_the_exponent_is_the_power_that_a_cost_grows_with(power: float, scale: float) -> None:
    costs = [scale * each**power for each in AMOUNTS]
    assert growth_exponent(AMOUNTS, costs) == pytest.approx(power, abs=1e-6)


@pytest.mark.parametrize("amounts", [(), (5.0,), (5.0, 5.0)])
def test_without_two_amounts_nothing_grows(amounts: tuple[float, ...]) -> None:
    assert math.isnan(growth_exponent(amounts, amounts))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.012345, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (-1.2345, "-1.23")),
        *((999.6, "1,000"), (123456, "123,000"), (None, "-"), (math.nan, "-")),
    ],
)
def test_three_digits_are_written(value: float | None, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(1e-6, 1e12))
def test_what_is_written_is_near_what_was_measured(value: float) -> None:
    assert float(format_number(value).replace(",", "")) == pytest.approx(value, rel=0.006)
