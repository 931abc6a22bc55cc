"""The book of runs: what is covered, what gives way, and the orders that come of it."""

import pytest

from appliance.policy.runs import Lane, Orders, Run, RunBook
from appliance.protocol.ranges import Span

FIRST, SECOND = Run(7, 10, 20, 0.0), Run(3, 40, 60, 0.0)


def book(connections_max: int = 4) -> RunBook:
    return RunBook([SECOND, FIRST], connections_max)


def test_a_book_that_nobody_writes_in_orders_nothing() -> None:
    assert book().orders() == Orders()


def test_a_byte_is_covered_from_the_watermark_to_the_stop() -> None:
    found = [book().find_covering(position) for position in (9, 10, 19, 20, 59, 60)]
    assert [lane and lane.run.key for lane in found] == [None, 7, 7, None, 3, None]


def test_a_run_that_was_cut_covers_its_tail_no_more() -> None:
    runs = book()
    lane = runs.find_covering(50)
    assert lane is not None
    lane.stop = 50
    assert runs.find_covering(50) is None
    assert runs.find_covering(49) is lane
    assert runs.orders() == Orders(shorten=((3, 50),))


def test_the_next_run_begins_after_a_position() -> None:
    assert [book().next_start(position, 99) for position in (0, 10, 39, 40)] == [10, 40, 40, 99]


def test_the_highest_ranking_run_gives_way_unless_it_is_read() -> None:
    runs = book()
    for lane in runs:
        lane.is_read = lane.start == 40
    assert not runs.give_way(_start, lambda lane: False)
    assert runs.give_way(_start, lambda lane: True)
    assert not runs.give_way(_start, lambda lane: True)
    assert runs.orders() == Orders(give_up=(7,), thrown_bytes=10)
    assert len(runs) == 1


def test_room_is_what_runs_leave_of_the_connections() -> None:
    runs = book(connections_max=3)
    assert runs.room == 1
    runs.begin(Span(20, 30))
    assert runs.room == 0
    assert runs.begun_count == 1
    with pytest.raises(AssertionError, match="a connection is free"):
        runs.begin(Span(30, 40))
    assert runs.orders() == Orders(start=(Span(20, 30),))
    assert book(connections_max=1).room == -1


def _start(lane: Lane) -> int:
    return lane.start


def test_what_is_to_come_is_what_runs_still_fetch() -> None:
    runs = RunBook([FIRST, SECOND, Run(5, 70, 70, 0.0)], 4)
    runs.begin(Span(20, 30))
    assert sorted(runs.spans()) == [Span(10, 20), Span(20, 30), Span(40, 60)]
