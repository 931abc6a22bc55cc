"""What a cut costs: never more than is left, and never so much that a blob pays one percent."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.waste import BUFFERED_BYTES_MAX, Purse, choose_spare_bytes, price_cut

rests = st.integers(0, 2**40)
rates = st.none() | st.floats(0, 1e10)


@given(rests, rates, st.floats(0, 10))
def test_no_cut_costs_more_than_what_is_cut_off(
    rest_bytes: int, rate: float | None, round_trip_seconds: float
) -> None:
    assert 0 <= price_cut(rest_bytes, rate, round_trip_seconds) <= rest_bytes


def test_it_is_what_lies_in_sockets_and_on_the_line() -> None:
    assert price_cut(10**9, 1_000_000.0, 0.1) == BUFFERED_BYTES_MAX + 100_000
    assert price_cut(10**9, 100_000.0, 0.1) == 50_000 + 10_000
    assert price_cut(10**9, None, 0.1) == BUFFERED_BYTES_MAX
    assert price_cut(10**9, 0.0, 0.1) == 0


@given(st.integers(0, 2**50))
def test_a_fill_may_spend_less_than_a_hundredth(size_bytes: int) -> None:
    assert choose_spare_bytes(size_bytes) * 100 <= size_bytes


@given(st.lists(st.tuples(rests, rates), max_size=20), st.integers(0, 10**7))
def test_who_pays_only_what_it_affords_never_overspends(
    cuts: list[tuple[int, float | None]], spare_bytes: int
) -> None:
    purse = Purse(spare_bytes, 0.05)
    for cut in cuts:
        if purse.affords(*cut):
            purse.pay(*cut)
    assert purse.spent_bytes <= spare_bytes


def test_what_has_to_be_is_paid_all_the_same() -> None:
    purse = Purse(100)
    purse.pay(1000, None)
    assert purse.spent_bytes == 1000
    assert not purse.affords(1, None)
