"""Places: every reader that misses something is at one, and at the right one."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.places import Place, Reader, find_places, join_places
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

SIZE_BYTES = 200

readers = st.builds(
    Reader, st.integers(0, 210), st.integers(0, 250), st.floats(0, 100, allow_nan=False)
)
helds = st.lists(
    st.tuples(st.integers(0, 199), st.integers(1, 40)).map(lambda p: Span(p[0], p[0] + p[1]))
).map(SpanSet)


def test_readers_who_will_run_dry_at_one_byte_are_one_place() -> None:
    held = SpanSet([Span(0, 50)])
    found = find_places([Reader(10, 80, 1.0), Reader(50, 60, 2.0), Reader(50, 70, 3.0)], held, 100)
    assert found == [Place(50, 80, 0, 2.0)]


def test_a_reader_with_bytes_to_read_does_not_starve() -> None:
    assert find_places([Reader(10, 80, 1.0)], SpanSet([Span(0, 50)]), 100) == [
        Place(50, 80, 40, inf)
    ]


def test_a_reader_who_has_all_it_wants_is_nowhere() -> None:
    assert find_places([Reader(10, 50, 1.0)], SpanSet([Span(0, 50)]), 100) == []


@given(st.lists(readers), helds)
def test_each_reader_is_at_the_first_byte_that_it_misses(
    guests: list[Reader], held: SpanSet
) -> None:
    expected = set()
    for reader in guests:
        missing = [
            byte
            for byte in range(reader.position, min(reader.stop, SIZE_BYTES))
            if held.held_from(byte) == byte
        ]
        expected.update(missing[:1])
    places = find_places(guests, held, SIZE_BYTES)
    assert [place.start for place in places] == sorted(expected)
    assert all(place.start < place.stop <= SIZE_BYTES for place in places)


@given(st.lists(readers), st.integers(0, 50))
def test_joining_loses_nobody(guests: list[Reader], within_bytes: int) -> None:
    places = find_places(guests, SpanSet(), SIZE_BYTES)
    joined = join_places(places, within_bytes, lambda _start, _stop: True)
    assert max((place.stop for place in joined), default=0) == max(
        (place.stop for place in places), default=0
    )
    for place in places:
        home = max(each.start for each in joined if each.start <= place.start)
        assert place.start - home <= within_bytes
        assert next(each for each in joined if each.start == home).fed_at <= place.fed_at


def test_what_no_run_can_cross_is_not_joined() -> None:
    places = [Place(0, 9, 0, 1.0), Place(5, 9, 0, 0.0)]
    assert join_places(places, 5, lambda _start, _stop: False) == places
    assert join_places(places, 5, lambda _start, _stop: True) == [Place(0, 9, 0, 0.0)]
    assert join_places(places, 4, lambda _start, _stop: True) == places
