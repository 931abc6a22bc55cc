"""docs/CLI.md says what the parser says, and nothing that it does not."""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import appliance.cli
from appliance.cli import EXIT_CODES, make_parser
from appliance.cli.reference import format_cli, format_usage
from tests.programs import HOUSE

PAGE = (HOUSE / "docs/CLI.md").read_text("utf-8")
# Files of the room that are no verbs.
OTHERS = {
    *("exhibits", "grouping", "journal", "reading", "recipes", "reference", "showing", "watching"),
    "wishes",
}


def parsers(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield f"{name} {word}".strip(), inner
                yield from parsers(inner, f"{name} {word}".strip())


def test_the_page_is_what_the_command_prints() -> None:
    assert format_cli(make_parser()) == PAGE, "python -m appliance.cli.reference > docs/CLI.md"


def test_every_verb_has_its_heading_and_every_option_its_row() -> None:
    headings = set(re.findall(r"^### `([^`]+)`$", PAGE, re.MULTILINE))
    assert headings == {name for name, _ in parsers(make_parser())}
    for name, parser in parsers(make_parser()):
        section = PAGE.split(f"### `{name}`\n")[1].partition("\n##")[0]
        for action in parser._actions:
            for option in set(action.option_strings) - {"-h", "--help"}:
                assert option in section, f"{name} {option}"


def test_every_verb_whose_output_is_data_can_say_it_as_json() -> None:
    silent = {
        name
        for name, parser in parsers(make_parser())
        if "--json" not in parser.format_help()
        and not any(isinstance(each, argparse._SubParsersAction) for each in parser._actions)
    }
    assert silent == {"run", "completion"}


def test_every_verb_of_the_room_is_on_the_command_line() -> None:
    files = {each.stem for each in Path(appliance.cli.__path__[0]).glob("*.py")}
    modules = (verb for group in appliance.cli.GROUPS.values() for verb in group)
    verbs = {str(vars(each)["__name__"]).rpartition(".")[2] for each in modules}
    assert verbs == files - OTHERS - {"__init__"}


def test_all_exit_codes_are_told() -> None:
    assert set(re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)) == set(map(str, EXIT_CODES))


def test_usage_spells_what_may_be_left_out_and_what_may_be_repeated() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", "--dry-run", action="store_true")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction)
    parser.add_argument("--size", metavar="SIZE")
    parser.add_argument("kind", choices=["a", "b"])
    parser.add_argument("model", nargs="+", metavar="MODEL")
    assert format_usage(parser, "boil") == (
        "ollama-appliance boil [-n, --dry-run] [--keep | --no-keep] [--size SIZE] {a,b} MODEL …"
    )


def test_a_verb_that_only_asks_does_not_wait_for_mitmproxy() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import appliance.cli, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "appliance.cli.stats" in told.stdout.split()
    assert not {"mitmproxy", "appliance.supervisor"} & set(told.stdout.split())
