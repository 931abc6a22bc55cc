"""docs/THREATS.md names a test for each claim: every one of them exists and is run."""

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
DOCUMENT = (HOUSE / "docs" / "THREATS.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", DOCUMENT)))


def names_of_tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in tree.body if isinstance(each, kinds)}


@pytest.mark.parametrize(("path", "test"), NAMED, ids=lambda each: str(each))
def test_a_test_that_the_document_names_exists(path: str, test: str) -> None:
    assert test.startswith("test_")
    assert test in names_of_tests(HOUSE / path)


def test_every_claim_under_a_heading_names_a_test() -> None:
    sections = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
    defended = [each for each in sections if not each.startswith("What is not defended")]
    claims = [item for each in defended for item in re.split(r"^- ", each, flags=re.MULTILINE)[1:]]
    assert claims
    for claim in claims:
        assert "::test_" in claim, f"which test holds this? {claim.splitlines()[0]}"


def test_nothing_else_in_the_document_looks_like_a_test() -> None:
    assert len(NAMED) == len(set(re.findall(r"tests/[\w/.]+::\w+", DOCUMENT)))
