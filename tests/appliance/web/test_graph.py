"""The history: bars stand on the ground, fit the drawing, and say what they stand for."""

import re

from hypothesis import given
from hypothesis import strategies as st

from appliance.cache.speeds import SPEEDS_MAX, Speed
from appliance.web.graph import DAYS, HEIGHT, HOURS, WIDTH, draw_days, draw_hours, draw_speeds
from tests.fakes.registry import NOON  # 2023-11-14T22:13:20Z.

SERVED, FETCHED = "served_bytes", "fetched_bytes"


def test_an_empty_history_has_every_hour_and_no_height() -> None:
    graph = draw_hours({}, NOON)
    assert len(graph.bars) == HOURS
    assert (graph.first, graph.last, graph.top_bytes) == ("23:00", "22:00", 0)
    assert {each.cached_height + each.fetched_height for each in graph.bars} == {0}


def test_the_cache_stands_on_the_internet() -> None:
    graph = draw_hours({"2023-11-14T22": {SERVED: 4000, FETCHED: 1000}}, NOON)
    bar = graph.bars[-1]
    assert (bar.cached_height, bar.fetched_height) == (HEIGHT * 0.75, HEIGHT * 0.25)
    assert (bar.cached_y, bar.fetched_y) == (0, HEIGHT * 0.75)
    assert bar.told == "22:00: 3.0 kB from the cache, 1.0 kB fetched"
    assert graph.summary == "In the last 24 hours: 3.0 kB from the cache, 1.0 kB from the Internet."


def test_days_end_today_and_what_is_older_is_left_out() -> None:
    graph = draw_days({"2023-11-14": {SERVED: 5}, "2023-10-01": {SERVED: 500}}, NOON)
    assert (len(graph.bars), graph.top_bytes) == (DAYS, 5)
    assert (graph.first, graph.last) == ("16 Oct", "14 Nov")


@given(st.lists(st.tuples(st.integers(0, 2**50), st.integers(0, 2**50)), max_size=HOURS))
def test_every_bar_is_inside_the_drawing(amounts: list[tuple[int, int]]) -> None:
    counts = {
        f"2023-11-14T{hour:02}": {SERVED: served, FETCHED: fetched}
        for hour, (served, fetched) in enumerate(amounts)
    }
    for bar in draw_hours(counts, NOON).bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert -0.02 <= bar.cached_y <= bar.fetched_y <= HEIGHT
        assert bar.fetched_y + bar.fetched_height <= HEIGHT + 0.02


def test_the_newest_second_is_at_the_right_and_the_fastest_as_high_as_the_drawing() -> None:
    trace = draw_speeds([Speed(2_000_000, 0), Speed(4_000_000, 1_000_000)])
    assert trace.served == f"M297.5 {HEIGHT}L297.5 48.0L300.0 0.0L{WIDTH} {HEIGHT}Z"
    assert trace.fetched == f"M297.5 {HEIGHT}L297.5 96.0L300.0 72.0L{WIDTH} {HEIGHT}Z"
    assert trace.top == "4.0 MB/s"


def test_where_nothing_moves_nothing_is_drawn() -> None:
    still = draw_speeds([Speed(0, 0)] * 5)
    assert (still.served, still.fetched, still.top) == ("", "", "1.0 MB/s")
    assert draw_speeds([]) == still


@given(st.lists(st.builds(Speed, st.floats(0, 2**40), st.floats(0, 2**40)), max_size=SPEEDS_MAX))
def test_the_trace_stays_inside_the_drawing(speeds: list[Speed]) -> None:
    trace = draw_speeds(speeds)
    for x, y in re.findall(r"([0-9.]+) ([0-9.]+)", trace.served + trace.fetched):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
