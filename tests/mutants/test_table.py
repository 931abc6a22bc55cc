"""The table of mutants is whole: each applies, each row has some, and each test exists.

That the tests notice them is seen by `make mutants`, which takes minutes.
"""

import ast
from pathlib import Path

import pytest

from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS, ROWS

HOUSE = Path(__file__).parents[2]
EACH = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: f"{each.row}: {each.what}")


@EACH
def test_what_a_mutant_changes_stands_there_once(mutant: Mutant) -> None:
    assert (HOUSE / mutant.path).read_text("utf-8").count(mutant.old) == 1
    assert mutant.old != mutant.new


@EACH
def test_a_mutant_is_a_program(mutant: Mutant) -> None:
    if mutant.path.endswith(".py"):
        text = (HOUSE / mutant.path).read_text("utf-8")
        ast.parse(text.replace(mutant.old, mutant.new))


@EACH
def test_its_tests_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for each in mutant.tests:
        path, _, name = each.partition("::")
        text = (HOUSE / path).read_text("utf-8")
        assert not name or f"def {name}(" in text, each


def test_every_row_has_mutants_and_no_two_are_told_alike() -> None:
    assert tuple(dict.fromkeys(each.row for each in MUTANTS)) == ROWS
    told = [(each.row, each.what) for each in MUTANTS]
    assert len(set(told)) == len(told)
