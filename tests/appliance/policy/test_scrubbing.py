"""The pace of the scrub: a pass takes its days, whatever happens in them, and hurries little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.scrubbing import BYTES_PER_SECOND_MAX, DAY_SECONDS, choose_pause, find_good
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

SPAN = 16 * 1024 * 1024
SIZES = st.integers(1, 2**44)
INSTANTS = st.floats(0, 4e9)


@given(st.integers(1, 2000), st.floats(0.01, 400), st.floats(0, 1))
def test_a_pass_takes_its_days_or_as_long_as_the_disk_needs(
    spans: int, days: float, late: float
) -> None:
    """Also where some of the days are over before its first byte."""
    began_at, left_bytes = 1e9, spans * SPAN
    now = began_at + late * days * DAY_SECONDS
    while left_bytes:
        pause = choose_pause(SPAN, left_bytes=left_bytes, began_at=began_at, now=now, days=days)
        now, left_bytes = now + pause, left_bytes - SPAN
    due_at = began_at + days * DAY_SECONDS
    soonest = began_at + late * days * DAY_SECONDS + spans * SPAN / BYTES_PER_SECOND_MAX
    assert now == pytest.approx(max(due_at, soonest), abs=SPAN / BYTES_PER_SECOND_MAX + 1e-3)


@given(st.integers(0, SPAN), SIZES, INSTANTS, INSTANTS, st.floats(0.001, 400))
def test_it_is_never_faster_than_the_disk_s_own_work_allows(
    next_bytes: int, left_bytes: int, began_at: float, now: float, days: float
) -> None:
    """And waits no longer than its days, wherever the clock was set to."""
    pause = choose_pause(next_bytes, left_bytes=left_bytes, began_at=began_at, now=now, days=days)
    soonest = next_bytes / BYTES_PER_SECOND_MAX
    assert soonest <= pause <= max(soonest, days * DAY_SECONDS)


def test_a_terabyte_in_a_month_is_a_span_in_43_seconds() -> None:
    pause = choose_pause(SPAN, left_bytes=10**12, began_at=0.0, now=0.0, days=30)
    assert round(pause) == 43


@given(st.integers(0, 300), st.lists(st.tuples(st.integers(0, 200), st.integers(1, 60))))
def test_what_is_not_bad_is_good(size_bytes: int, found: list[tuple[int, int]]) -> None:
    spans = [Span(start, start + size) for start, size in found if start + size <= size_bytes]
    good = find_good(size_bytes, SpanSet(spans))
    bad = {at for span in spans for at in range(span.start, span.stop)}
    assert {at for span in good for at in range(span.start, span.stop)} == set(
        range(size_bytes)
    ) - bad
