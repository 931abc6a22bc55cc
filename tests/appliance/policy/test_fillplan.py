"""The plan: only what is missing, every byte of it, and none of it twice."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.fillplan import plan_run
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

sizes = st.integers(1, 500)
spans = st.tuples(st.integers(0, 499), st.integers(1, 100)).map(
    lambda drawn: Span(drawn[0], drawn[0] + drawn[1])
)
helds = st.lists(spans).map(SpanSet)


def test_a_cold_blob_is_one_request() -> None:
    assert plan_run(1000, SpanSet()) == Span(0, 1000)


def test_an_interrupted_one_goes_on_where_it_stopped() -> None:
    assert plan_run(1000, SpanSet([Span(0, 400)])) == Span(400, 1000)
    assert plan_run(1000, SpanSet([Span(100, 400)])) == Span(0, 100)
    assert plan_run(1000, SpanSet([Span(0, 100), Span(400, 500)])) == Span(100, 400)


def test_nothing_is_missing_of_an_empty_blob() -> None:
    assert plan_run(0, SpanSet()) is None


@given(sizes, helds)
def test_a_run_lies_in_the_blob_and_holds_nothing_yet(size_bytes: int, held: SpanSet) -> None:
    run = plan_run(size_bytes, held)
    if run is None:
        assert held.covers(Span(0, size_bytes))
    else:
        assert run.stop <= size_bytes
        assert list(held.missing(run)) == [run]


@given(sizes, helds, st.data())
def test_following_it_fetches_every_missing_byte_once(
    size_bytes: int, held: SpanSet, data: st.DataObject
) -> None:
    missing = {byte for span in held.missing(Span(0, size_bytes)) for byte in range(*bounds(span))}
    fetched: list[int] = []
    while (run := plan_run(size_bytes, held)) is not None:
        came = data.draw(st.integers(1, run.size_bytes), label="bytes before the connection broke")
        fetched += range(run.start, run.start + came)
        held.add(Span(run.start, run.start + came))
    assert sorted(fetched) == sorted(missing)


def bounds(span: Span) -> tuple[int, int]:
    return span.start, span.stop
