"""The plan: rule by rule on a state set up by hand, and in any state at all.

Whole fills are simulated in test_fill_simulator.py.
"""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policy.fillplan import (
    CROWD_RUN_SIZE_BYTES_MIN,
    HEDGE_SECONDS,
    RUN_SIZE_BYTES_MAX,
    RUN_SIZE_BYTES_MIN,
    SMALL_SIZE_BYTES,
    choose_run_size,
    plan_runs,
)
from appliance.policy.places import Reader
from appliance.policy.runs import Orders, Run
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span
from tests.appliance.policy.fill_simulator import MB, check_orders

MIB = 1024 * 1024
SIZE_BYTES = 1024 * MIB
NOW = 100.0


def plan(
    *readers: Reader,
    runs: tuple[Run, ...] = (),
    held: SpanSet | None = None,
    size_bytes: int = SIZE_BYTES,
    rate: float | None = 16.0 * MIB,
    connections_max: int = 16,
) -> Orders:
    held = SpanSet() if held is None else held
    orders = plan_runs(
        size_bytes=size_bytes,
        held=held,
        runs=runs,
        readers=readers,
        rate_bytes_per_second=rate,
        connections_max=connections_max,
        now=NOW,
    )
    check_orders(orders, size_bytes, held, runs, connections_max)
    return orders


def reader(position: int, stop: int = SIZE_BYTES, *, waited: float = 0.1) -> Reader:
    return Reader(position, stop, NOW - waited)


def run(key: int, start: int, stop: int, *, silent: float = 0.0) -> Run:
    return Run(key, start, stop, NOW - silent)


def starts(orders: Orders) -> list[int]:
    return [span.start for span in orders.start]


# The front.


def test_each_place_gets_a_run_of_its_own() -> None:
    orders = plan(*(reader(index * 64 * MIB) for index in range(16)))
    assert sorted(starts(orders)) == [index * 64 * MIB for index in range(16)]


def test_the_longest_starved_come_first() -> None:
    guests = [reader(index * 64 * MIB, waited=index % 7) for index in range(1, 15)]
    orders = plan(*guests, connections_max=2)
    assert sorted(starts(orders)) == [6 * 64 * MIB, 13 * 64 * MIB]


def test_readers_at_or_just_before_one_place_share_a_run() -> None:
    orders = plan(reader(0, waited=0.1), reader(MIB, waited=1.0), reader(0), connections_max=2)
    assert starts(orders)[0] == 0
    assert len(starts(orders)) == 1


def test_but_not_across_bytes_that_are_held() -> None:
    held = SpanSet([Span(MIB // 2, MIB)])
    assert starts(plan(reader(0), reader(MIB), held=held, connections_max=2)) == [0, MIB]


def test_nor_across_a_run() -> None:
    crossing = run(1, 2 * MIB, 3 * MIB, silent=9.0)
    orders = plan(reader(0), reader(3 * MIB), runs=(crossing,), connections_max=3)
    assert orders.start == (Span(0, 2 * MIB), Span(3 * MIB, 3 * MIB + orders.start[1].size_bytes))


def test_a_reader_that_a_run_soon_reaches_waits_for_it() -> None:
    under_way = tuple(run(key, key * 64 * MIB, key * 64 * MIB + 8 * MIB) for key in range(8))
    orders = plan(reader(MIB // 4, 8 * MIB), runs=under_way)
    assert not any(span.start < 8 * MIB for span in orders.start)
    assert not orders.shorten


def test_a_run_yields_its_tail_to_a_reader_further_on() -> None:
    under_way = tuple(run(key, key * 64 * MIB, key * 64 * MIB + 8 * MIB) for key in range(8))
    orders = plan(reader(0), reader(6 * MIB), runs=under_way)
    assert orders.shorten == ((0, 6 * MIB),)
    assert starts(orders)[0] == 6 * MIB


def test_read_ahead_gives_way_to_a_starving_reader() -> None:
    ahead = tuple(run(key, key * 64 * MIB, key * 64 * MIB + MIB) for key in range(4))
    orders = plan(reader(0, 900 * MIB), reader(500 * MIB, 501 * MIB), runs=ahead, connections_max=4)
    assert orders.give_up == (3,)  # The furthest ahead of whom it is for.
    assert starts(orders) == [500 * MIB]


def test_bytes_nobody_asked_for_give_way_before_read_ahead() -> None:
    under_way = (run(0, 0, MIB), run(1, 64 * MIB, 65 * MIB), run(2, 8 * MIB, 9 * MIB))
    orders = plan(
        reader(0, 60 * MIB), reader(500 * MIB, 501 * MIB), runs=under_way, connections_max=3
    )
    assert orders.give_up == (1,)


def test_a_run_behind_all_readers_gives_way_too() -> None:
    orders = plan(reader(500 * MIB), runs=(run(1, 0, MIB),), connections_max=1)
    assert orders.give_up == (1,)


def test_a_run_that_is_read_never_gives_way_but_is_cut_short() -> None:
    orders = plan(
        reader(0), reader(500 * MIB), runs=(run(1, 0, 16 * MIB),), connections_max=1, rate=1.0 * MB
    )
    assert not orders.give_up
    assert not orders.start
    assert orders.shorten == ((1, choose_run_size(1.0 * MB, 2, 1)),)


def test_it_is_not_cut_where_little_is_to_be_won() -> None:
    runs = (run(1, 0, choose_run_size(1.0 * MB, 2, 1) * 5 // 4),)
    assert plan(reader(0), reader(500 * MIB), runs=runs, connections_max=1, rate=MB) == Orders()


def test_a_silent_run_is_given_up_for_a_new_one() -> None:
    silent = (run(1, 8 * MIB, 16 * MIB, silent=3.0),)
    orders = plan(reader(8 * MIB, waited=3.0), runs=silent, held=SpanSet([Span(0, 8 * MIB)]))
    assert orders.give_up == (1,)
    assert starts(orders)[0] == 8 * MIB


@pytest.mark.parametrize(("waited", "silent"), [(2.9, 9.0), (9.0, 2.9), (8.0, 3.9)])
def test_not_before_its_time_and_each_time_later(waited: float, silent: float) -> None:
    runs = (run(1, 8 * MIB, 16 * MIB, silent=silent),)
    held = SpanSet([Span(0, 8 * MIB)])
    assert plan(reader(8 * MIB, waited=waited), runs=runs, held=held).give_up == ()


def test_a_run_that_crawls_towards_a_reader_is_cut_before_it() -> None:
    crawling = (run(1, 0, 8 * MIB),)
    orders = plan(reader(MIB, waited=3.0), runs=crawling)
    assert orders.shorten == ((1, MIB),)
    assert starts(orders)[0] == MIB


def test_fewer_connections_end_runs_that_nobody_reads_then_the_longest() -> None:
    runs = (run(1, 0, MIB), run(2, 64 * MIB, 72 * MIB), run(3, 128 * MIB, 129 * MIB))
    guests = (reader(0), reader(64 * MIB))
    assert plan(*guests, runs=runs, connections_max=2).give_up == (3,)
    assert plan(*guests, runs=runs, connections_max=1).give_up == (3, 2)
    assert sorted(plan(*guests, runs=runs, connections_max=0).give_up) == [1, 2, 3]


# Ahead and behind.


def test_read_ahead_leaves_a_connection_to_the_next_to_come() -> None:
    orders = plan(reader(0))
    assert len(orders.start) == 15
    assert orders.start[0].start == 0
    for before, after in pairwise(orders.start):
        assert before.stop == after.start


def test_the_nearest_to_run_dry_comes_first() -> None:
    held = SpanSet([Span(0, 64 * MIB), Span(500 * MIB, 600 * MIB)])
    orders = plan(reader(0), reader(500 * MIB), held=held, connections_max=1)
    assert starts(orders) == [64 * MIB]


def test_readers_with_plenty_to_read_leave_every_connection_to_read_ahead() -> None:
    assert len(plan(reader(0), held=SpanSet([Span(0, 512 * MIB)])).start) == 16


def test_nothing_is_fetched_far_beyond_what_is_wanted_while_somebody_wants() -> None:
    orders = plan(reader(0, 10), connections_max=1)
    assert orders.start == (Span(0, RUN_SIZE_BYTES_MIN),)


def test_the_remainder_follows_over_all_connections_when_all_that_is_wanted_comes() -> None:
    orders = plan(reader(900 * MIB, 900 * MIB + 10))
    assert starts(orders)[:2] == [900 * MIB, 0]
    assert len(orders.start) == 16


def test_a_blob_that_nobody_reads_completes_from_its_front() -> None:
    orders = plan(held=SpanSet([Span(0, MIB)]))
    assert starts(orders) == sorted(starts(orders))
    assert starts(orders)[0] == MIB
    assert len(orders.start) == 16


def test_nothing_is_ordered_when_all_is_held_or_empty() -> None:
    assert plan(reader(0), held=SpanSet([Span(0, SIZE_BYTES)])) == Orders()
    assert plan(reader(0), size_bytes=0) == Orders()


def test_a_run_that_has_all_its_bytes_and_did_not_end_yet_is_in_nobodys_way() -> None:
    orders = plan(reader(MIB), runs=(run(1, MIB, MIB),), connections_max=2)
    assert starts(orders)[0] == MIB


# Small blobs.


def test_a_small_blob_is_one_request() -> None:
    size_bytes = SMALL_SIZE_BYTES
    for guests in [(), (reader(0, size_bytes),), (reader(0, 10), reader(0, size_bytes))]:
        assert plan(*guests, size_bytes=size_bytes).start == (Span(0, size_bytes),)


def test_one_that_was_interrupted_is_one_request_for_each_gap() -> None:
    held = SpanSet([Span(MIB, 2 * MIB)])
    first = plan(size_bytes=SMALL_SIZE_BYTES, held=held)
    assert first.start == (Span(0, MIB),)
    assert plan(size_bytes=SMALL_SIZE_BYTES, held=held, runs=(run(1, 0, MIB),)) == Orders()


def test_readers_all_over_a_small_blob_wait_for_its_one_run() -> None:
    readers = [reader(position * MIB) for position in range(0, 32, 2)]
    first = plan(*readers, size_bytes=SMALL_SIZE_BYTES)
    assert first.start == (Span(0, SMALL_SIZE_BYTES),)
    runs = (run(1, 0, SMALL_SIZE_BYTES),)
    assert plan(*readers, runs=runs, size_bytes=SMALL_SIZE_BYTES) == Orders()


def test_a_reader_that_starves_far_on_in_a_small_blob_opens_a_second() -> None:
    runs = (run(1, 0, SMALL_SIZE_BYTES),)
    starved = reader(30 * MIB, waited=HEDGE_SECONDS)
    orders = plan(reader(0), starved, runs=runs, size_bytes=SMALL_SIZE_BYTES)
    assert orders.shorten == ((1, 30 * MIB),)
    assert orders.start == (Span(30 * MIB, SMALL_SIZE_BYTES),)


# Run length.


def test_runs_are_short_until_the_line_was_measured() -> None:
    assert all(span.size_bytes <= 4 * RUN_SIZE_BYTES_MIN for span in plan(rate=None).start)


@given(st.floats(0, 1e11), st.integers(0, 1000), st.integers(0, 64), st.floats(0, 10))
def test_a_run_has_a_sensible_length_whatever_the_line(
    rate: float, places_count: int, connections_max: int, round_trip_seconds: float
) -> None:
    size_bytes = choose_run_size(rate, places_count, connections_max, round_trip_seconds)
    assert CROWD_RUN_SIZE_BYTES_MIN <= size_bytes <= RUN_SIZE_BYTES_MAX
    assert size_bytes >= RUN_SIZE_BYTES_MIN or places_count > connections_max


@given(st.integers(17, 480), st.floats(10, 1000))
def test_a_crowd_waits_a_few_seconds_for_its_turn(places_count: int, megabytes: float) -> None:
    size_bytes = choose_run_size(megabytes * MB, places_count, 16)
    wait_seconds = places_count * size_bytes / (megabytes * MB)
    assert wait_seconds <= max(3.01, places_count * RUN_SIZE_BYTES_MIN / (megabytes * MB))


def test_runs_that_start_together_do_not_end_together() -> None:
    sizes = [span.size_bytes for span in plan(rate=100.0 * MB).start]
    assert len(set(sizes)) == len(sizes)


# Any state at all.


@st.composite
def states(draw: st.DrawFn) -> dict[str, object]:
    size_bytes = draw(st.sampled_from([1, MIB, SMALL_SIZE_BYTES + 1, SIZE_BYTES]))
    edges = sorted(draw(st.sets(st.integers(0, size_bytes), max_size=40)))
    held = SpanSet()
    runs: list[Run] = []
    for start, stop in pairwise(edges):
        match draw(st.sampled_from(["held", "run", "missing"])):
            case "held":
                held.add(Span(start, stop))
            case "run":
                runs.append(Run(len(runs), start, stop, draw(st.floats(80, NOW))))
    near = st.sampled_from(edges) if edges else st.nothing()
    position = near | st.integers(0, size_bytes + 1)
    readers = st.builds(Reader, position, position, st.floats(80, NOW))
    return {
        "size_bytes": size_bytes,
        "held": held,
        "runs": tuple(draw(st.permutations(runs))),
        "readers": draw(st.lists(readers, max_size=30)),
        "rate": draw(st.none() | st.floats(0, 1e10)),
        "connections_max": draw(st.integers(0, 20)),
    }


@given(states())
@settings(max_examples=300)
def test_orders_are_consistent_in_every_state(state: dict[str, object]) -> None:
    plan(*state.pop("readers"), **state)  # type: ignore[arg-type, misc]  # Drawn together.


@given(states())
def test_while_something_is_missing_something_is_fetched(state: dict[str, object]) -> None:
    orders = plan(*state.pop("readers"), **state)  # type: ignore[arg-type, misc]
    held, runs, size_bytes = state["held"], state["runs"], state["size_bytes"]
    assert isinstance(held, SpanSet)
    assert isinstance(runs, tuple)
    assert isinstance(size_bytes, int)
    is_possible = state["connections_max"] and not held.covers(Span(0, size_bytes))
    assert bool(orders.start or len(runs) > len(orders.give_up)) >= bool(is_possible)
