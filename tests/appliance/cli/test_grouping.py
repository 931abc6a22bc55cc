"""Verbs in groups: every verb is shown once, where it belongs, with its sentence."""

import argparse
import re

import pytest

from appliance.cli import GROUPS, main, make_parser
from appliance.cli.grouping import GroupedParser


class Teapot:
    """A verb of two words."""

    @staticmethod
    def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        for name, what in (("brew", "make tea"), ("pour", "give it out")):
            subparsers.add_parser(name, help=what).set_defaults(run=lambda args: 0)


def make_kitchen() -> GroupedParser:
    parser = GroupedParser(prog="kitchen", epilog="Mind the steam.")
    parser.add_verbs({"hot things": (Teapot,)})
    return parser


def test_verbs_stand_below_their_group_and_before_the_options() -> None:
    lines = make_kitchen().format_help().splitlines()
    group, options = lines.index("hot things:"), lines.index("options:")
    assert [each.split() for each in lines[group + 1 : options - 1]] == [
        ["brew", "make", "tea"],
        ["pour", "give", "it", "out"],
    ]
    assert lines[-1] == "Mind the steam."


def test_a_verb_is_parsed_as_ever_and_says_its_sentence_itself() -> None:
    parser = make_kitchen()
    assert parser.parse_args(["pour"]).run(None) == 0
    assert "Give it out." in parser.find_verb("pour").format_help()


def test_the_command_line_shows_each_verb_once() -> None:
    parser, text = make_parser(), make_parser().format_help()
    names = [name for group in parser.verb_groups.values() for name in group]
    assert len(names) == len(set(names))
    assert list(parser.verb_groups) == list(GROUPS)
    for name in names:
        assert len(re.findall(rf"^  {name}(\s|$)", text, re.MULTILINE)) == 1


def test_without_a_verb_all_are_shown_and_it_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "start and watch the box:" in said.err
    assert "130 stopped by Ctrl-C" in re.sub(r"\s+", " ", said.err)
