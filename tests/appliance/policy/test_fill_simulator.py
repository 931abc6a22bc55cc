"""Whole fills in simulated time: what fill_simulator.py says holds in every simulation does."""

from collections.abc import Callable
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policy.fillplan import CRAWL_SECONDS, HEDGE_SECONDS, SMALL_SIZE_BYTES
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span
from tests.appliance.policy.fill_setups import (
    CROWD_LINES,
    CROWD_SIZES,
    CROWDS,
    parts,
    resumed,
    simulate,
)
from tests.appliance.policy.fill_simulator import (
    MB,
    Accident,
    Line,
    Simulation,
    Visit,
    silence_bound,
)

lines = st.builds(
    lambda megabytes, each, trip, connections: Line(
        megabytes * MB, megabytes * MB * each, trip, connections
    ),
    st.sampled_from([1.0, 3.0, 12.5, 40.0, 125.0, 1000.0]),
    st.sampled_from([inf, 1 / 4, 1 / 16]),
    st.sampled_from([0.005, 0.03, 0.1, 0.2]),
    st.integers(1, 16),
)
mishaps = st.builds(
    Accident, st.floats(0, 6), st.sampled_from(["reset", "stall"]), st.integers(0, 15)
)
crawls = st.builds(Accident, st.floats(0, 6), st.just("crawl"), st.integers(0, 15))


@st.composite
def fills(draw: st.DrawFn) -> tuple[int, Line, list[Visit]]:
    line = draw(lines)
    size_bytes = int(line.rate_usable * draw(st.floats(0.5, 6))) + draw(st.integers(1, 1000))
    visits: list[Visit] = []
    for seed in range(draw(st.integers(0, 4))):
        comes_at = draw(st.floats(0, 3))
        part_count = draw(st.sampled_from([1, 16, 64, None]))
        if part_count is None:
            visits += resumed(size_bytes, seed, comes_at=comes_at)
        else:
            stay, rate = draw(st.sampled_from([inf, 0.7, 2.0])), draw(st.sampled_from([inf, 0.3]))
            leaves_at = comes_at + stay
            visits += parts(size_bytes, part_count, comes_at=comes_at, leaves_at=leaves_at,
                            rate=rate * line.rate_usable)  # fmt: skip
    return size_bytes, line, visits


@given(fills(), st.lists(mishaps | crawls, max_size=4))
@settings(max_examples=25)
def test_every_fill_ends_with_every_byte_fetched_once(
    fill: tuple[int, Line, list[Visit]], accidents: list[Accident]
) -> None:
    size_bytes, line, visits = fill
    simulation = Simulation(size_bytes, line, visits, accidents)
    outcome = simulation.run()
    assert simulation.held == SpanSet([Span(0, size_bytes)])
    assert outcome.kept_bytes == size_bytes
    assert outcome.runs_max <= line.connections
    assert len(outcome.silences) == len(visits)


@given(fills(), st.lists(mishaps, max_size=3))
@settings(max_examples=50)
def test_no_reader_starves_beyond_the_bound(
    fill: tuple[int, Line, list[Visit]], accidents: list[Accident]
) -> None:
    size_bytes, line, visits = fill
    outcome = Simulation(size_bytes, line, visits, accidents).run()
    bound = silence_bound(line, outcome.places_max, stalls=len(accidents))
    assert outcome.silence_seconds <= bound


@pytest.mark.parametrize("megabytes", [1.0, 12.5, 125.0])
@pytest.mark.parametrize("setup", ["1 whole", "1 x 16"])
def test_one_client_never_waits_longer_than_a_round_trip(setup: str, megabytes: float) -> None:
    line = Line(megabytes * MB)
    size_bytes, outcome = simulate(setup, line)
    assert outcome.silence_seconds < line.round_trip_seconds + 0.1
    assert outcome.seconds <= 1.05 * size_bytes / line.rate_usable
    assert outcome.wasted_bytes <= 0.01 * size_bytes


@pytest.mark.parametrize("rate_each", [inf, 8.0 * MB])
def test_thirty_clients_of_sixteen_parts_wait_less_than_a_second(rate_each: float) -> None:
    line = Line(125 * MB, rate_each)
    size_bytes, outcome = simulate("30 x 16", line)
    assert outcome.silence_seconds < 1
    assert outcome.seconds <= 1.05 * size_bytes / line.rate_usable
    assert outcome.wasted_bytes <= 0.01 * size_bytes


@pytest.mark.parametrize("size_bytes", CROWD_SIZES[:3])
@pytest.mark.parametrize("line", CROWD_LINES.values(), ids=CROWD_LINES)
@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
def test_a_crowd_costs_next_to_nothing_on_any_size_of_blob(
    crowd: Callable[[int], list[Visit]], line: Line, size_bytes: int
) -> None:
    outcome = Simulation(size_bytes, line, crowd(size_bytes)).run()
    assert outcome.wasted_bytes <= 0.01 * size_bytes
    assert outcome.silence_seconds < 2


@given(fills())
@settings(max_examples=50)
def test_undisturbed_a_fill_wastes_one_percent_or_for_starving_readers_only(
    fill: tuple[int, Line, list[Visit]],
) -> None:
    size_bytes, line, visits = fill
    outcome = Simulation(size_bytes, line, visits).run()
    if outcome.silence_seconds < HEDGE_SECONDS:
        assert outcome.wasted_bytes <= 0.01 * size_bytes


@pytest.mark.parametrize("setup", ["1 whole", "1 x 16"])
def test_one_client_uses_what_every_connection_is_allowed(setup: str) -> None:
    line = Line(1000 * MB, rate_each=8 * MB)
    size_bytes, outcome = simulate(setup, line)
    assert outcome.seconds <= 1.15 * size_bytes / line.rate_usable


@pytest.mark.parametrize("choice", [0, 5, 15])
@pytest.mark.parametrize("at", [1.0, 6.0, 8.0])
def test_a_connection_that_crawls_does_not_hold_up_the_end(at: float, choice: int) -> None:
    size_bytes = 100 * MB
    crawl = Accident(at, "crawl", choice)
    for visits in ([], parts(size_bytes, 1), parts(size_bytes, 16)):
        outcome = Simulation(size_bytes, Line(12.5 * MB), visits, [crawl]).run()
        assert outcome.seconds <= 8 + CRAWL_SECONDS + 1
        assert outcome.wasted_bytes <= 0.01 * size_bytes


@pytest.mark.parametrize("setup", ["1 x 64", "4 resumed"])
def test_on_a_fast_line_they_wait_less_than_one(setup: str) -> None:
    assert simulate(setup, Line(125 * MB))[1].silence_seconds < 1


@pytest.mark.parametrize("setup", ["1 x 64", "4 resumed"])
@pytest.mark.parametrize("megabytes", [1.0, 12.5])
def test_sixty_four_places_wait_less_than_five_seconds(setup: str, megabytes: float) -> None:
    size_bytes, outcome = simulate(setup, Line(megabytes * MB))
    assert outcome.silence_seconds < 5
    assert outcome.seconds <= 1.05 * size_bytes / (megabytes * MB)


def test_thirty_clients_that_all_go_on_elsewhere_wait_less_than_five_seconds() -> None:
    size_bytes = SMALL_SIZE_BYTES * 2
    visits = [visit for seed in range(30) for visit in resumed(size_bytes, seed)]
    assert Simulation(size_bytes, Line(12.5 * MB), visits).run().silence_seconds < 5


def test_a_connection_that_falls_silent_costs_its_reader_no_five_seconds() -> None:
    size_bytes = 250 * MB
    for choice in (0, 5, 15):
        stall = Accident(2.0, "stall", choice)
        outcome = Simulation(size_bytes, Line(12.5 * MB), parts(size_bytes, 16), [stall]).run()
        assert 3 <= outcome.silence_seconds < 4
