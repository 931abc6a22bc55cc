"""Only what stands between the marks is written anew."""

import pytest

from bench.papers import MarksMissingError, format_markdown, format_section, replace_block
from bench.results import Section, Table

PAPER = "Before.\n\n<!-- bench:P1 -->\nold\n<!-- /bench:P1 -->\n\nAfter.\n"


def test_the_words_around_the_marks_stay() -> None:
    text = replace_block(PAPER, "P1", r"new \1 \g<0>")
    assert text.startswith("Before.\n\n<!-- bench:P1 -->\n\nnew \\1 \\g<0>\n\n<!-- /bench:P1 -->")
    assert text.endswith("\n\nAfter.\n")
    assert "old" not in text


def test_writing_the_same_again_changes_nothing() -> None:
    once = replace_block(PAPER, "P1", "new")
    assert replace_block(once, "P1", "new") == once


@pytest.mark.parametrize("name", ["P2", "P", "P11"])
def test_a_paper_without_the_marks_is_a_fault(name: str) -> None:
    with pytest.raises(MarksMissingError, match=f"bench:{name}"):
        replace_block(PAPER, name, "new")


def test_a_section_is_its_tables_then_its_plots_then_the_machine() -> None:
    table = Table(("a|b", "n"), [("x", 1.5), ("y", None)])
    assert format_markdown(table) == "| a/b | n |\n| --- | --- |\n| x | 1.50 |\n| y | - |"
    text = format_section(Section([], [table], {"growth-blobs": "<svg/>"}), "2 cores.")
    assert text.endswith("\n\n![growth-blobs](plots/growth-blobs.svg)\n\n2 cores.")
