"""Goals: judged, kept in their file, shown as a table."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from bench.results import (
    Table,
    bound,
    compare,
    format_table,
    merge,
    read_results,
    tabulate,
    write_results,
)

CHEAP = compare("P1.1.cpu", "CPU", 1.0, 2.0, at_most=1.1)


@pytest.mark.parametrize(("ours", "met"), [(1.0, True), (2.2, True), (2.3, False)])
def test_a_ratio_is_judged_by_its_upper_bound(ours: float, met: bool) -> None:
    assert compare("x", "x", ours, 2.0, at_most=1.1).met is met


@pytest.mark.parametrize(("ours", "met"), [(1.8, False), (1.9, True), (9.0, True)])
def test_a_ratio_is_judged_by_its_lower_bound(ours: float, met: bool) -> None:
    assert compare("x", "x", ours, 2.0, at_least=0.95).met is met


def test_without_anything_to_compare_with_a_ratio_is_not_met() -> None:
    assert not compare("x", "x", 1.0, 0.0, at_most=1.1).met
    assert not bound("x", "x", math.nan, at_most=1.0).met


def test_a_number_is_judged_whatever_the_other_one_is() -> None:
    result = bound("P4", "hits a second", 2500, at_least=2000, theirs=50_000)
    assert result.met
    assert result.ratio == pytest.approx(0.05)
    assert bound("P8", "start", 2.5, at_most=2.0).ratio is None


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert read_results(path) == []
    results = [CHEAP, bound("P8", "start", 1.5, at_most=2.0)]
    write_results(path, results)
    assert read_results(path) == results
    keys = {"id", "what", "ours", "theirs", "ratio", "goal", "met"}
    assert all(set(each) == keys for each in json.loads(path.read_text()))


def test_what_is_no_number_is_null_in_the_file(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", [replace(CHEAP, ratio=math.nan)])
    assert json.loads((tmp_path / "results.json").read_text())[0]["ratio"] is None


def test_what_is_measured_again_replaces_what_was_and_leaves_the_rest() -> None:
    other = bound("P8", "start", 1.5, at_most=2.0)
    again = replace(CHEAP, ours=1.5)
    assert merge([other, CHEAP], [again]) == [again, other]


def test_a_part_that_has_other_goals_now_leaves_none_of_its_old_ones() -> None:
    assert merge([replace(CHEAP, id="P1.2.cpu")], [CHEAP]) == [CHEAP]


def test_a_table_is_aligned_and_says_what_is_missed() -> None:
    text = format_table(tabulate([CHEAP, bound("P8", "start", 2.5, at_most=2.0)]))
    heading, first, second = text.splitlines()
    assert heading.index("ours") + len("ours") == first.index("1.00") + len("1.00")
    assert first.endswith("yes")
    assert second.endswith("NO")


def test_numbers_stand_to_the_right_and_texts_to_the_left() -> None:
    table = Table(("who", "n"), [("box", 1.0), ("a longer name", 100.0)])
    assert format_table(table).splitlines()[1] == "box            1.00"
