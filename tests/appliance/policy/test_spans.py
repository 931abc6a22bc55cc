"""SpanSet against the plainest model there is: a set of integers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda p: Span(p[0], p[0] + p[1]))


def numbers(spans: list[Span] | SpanSet) -> set[int]:
    return {number for span in spans for number in range(span.start, span.stop)}


@given(st.lists(SPANS))
def test_a_span_set_is_the_set_of_its_bytes(spans: list[Span]) -> None:
    held = SpanSet(spans)
    assert numbers(held) == numbers(spans)
    assert held.size_bytes == len(numbers(spans))
    assert held == SpanSet(reversed(spans))


@given(st.lists(SPANS))
def test_spans_are_maximal_and_ascending(spans: list[Span]) -> None:
    held = list(SpanSet(spans))
    assert len(SpanSet(spans)) == len(held)
    assert all(before.stop < after.start for before, after in pairwise(held))


@given(st.lists(SPANS), SPANS)
def test_missing_is_what_is_asked_less_what_is_held(spans: list[Span], asked: Span) -> None:
    held = SpanSet(spans)
    missing = list(held.missing(asked))
    assert numbers(missing) == numbers([asked]) - numbers(spans)
    assert SpanSet(missing) == SpanSet(missing[::-1])
    assert held.covers(asked) == (not missing)


@given(st.lists(SPANS), st.integers(0, 90))
def test_held_from_is_where_reading_would_stop(spans: list[Span], position: int) -> None:
    held, bytes_held, stop = SpanSet(spans), numbers(spans), position
    while stop in bytes_held:
        stop += 1
    assert held.held_from(position) == stop


@given(st.lists(SPANS), SPANS)
def test_plus_leaves_the_set_itself_alone(spans: list[Span], more: Span) -> None:
    held = SpanSet(spans)
    assert held.plus(more) == SpanSet([*spans, more])
    assert held == SpanSet(spans)


def test_a_span_set_shows_itself() -> None:
    assert repr(SpanSet([Span(0, 2), Span(4, 5)])) == "SpanSet([0, 2), [4, 5))"
