"""docs/CLI.md, from the command line's own parser: `python -m appliance.cli.reference`."""

import argparse
import sys
from collections.abc import Iterator

from appliance.cli import EXIT_CODES, make_parser
from appliance.cli.grouping import GroupedParser
from appliance.config.sources import ALIASES, FILE_VARIABLE, VARIABLE_PREFIX, variable_name

_HEAD = """\
# Command line

Every verb of `ollama-appliance`. This page is printed by `python -m appliance.cli.reference`,
from the parser itself.

What concerns a running box goes over a socket that only the box's own user (and root) may open;
with no box running, the verbs for what is held take the store's lock and do it themselves. So type
them as that user: `sudo -u ollama-appliance ollama-appliance …`.

With `--json` standard output has one JSON document and nothing else (`prefetch` and `logs`: one a
line). Standard error has what went wrong, and on the next line what to type. Colours and progress
bars appear on a terminal only, and no colours where `NO_COLOR` is set.

| exit code | means |
| --- | --- |
"""


def format_cli(parser: GroupedParser) -> str:
    """The whole page."""
    lines = [f"| {code} | {what} |" for code, what in EXIT_CODES.items()]
    lines += ["", *_format_options(parser, "For every verb, before its name:")]
    lines += ["", *_format_variables()]
    explained = dict(parser.explain_verbs())
    for title, names in parser.verb_groups.items():
        lines += ["", f"## {title[:1].upper()}{title[1:]}"]
        for name in names:
            lines += _format_verb(parser.find_verb(name), name, explained[name])
    return _HEAD + "\n".join(lines) + "\n"


def _format_variables() -> Iterator[str]:
    yield from ("| variable | what |", "| --- | --- |")
    yield f"| `{FILE_VARIABLE}` | the same as `--config` |"
    yield f"| `{VARIABLE_PREFIX}…` | any setting: see appliance.conf |"
    for alias, (section, key) in ALIASES.items():
        own = variable_name(section, key)
        what = f"`{section}.{key}`, as ollama-lancache called it; `{own}` goes before"
        yield f"| `{alias}` | {what} |"
    what = "not read: it is the store of an Ollama; the box's own is `box.state_dir`"
    yield f"| `OLLAMA_MODELS` | {what} |"


def _format_verb(parser: argparse.ArgumentParser, name: str, what: str) -> Iterator[str]:
    """A verb with its options, then each of its actions likewise."""
    subparsers = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    yield from ("", f"### `{name}`", "", f"{what[:1].upper()}{what[1:]}.")
    if not subparsers:
        yield from ("", "```", format_usage(parser, name), "```")
    yield from _format_options(parser, "")
    if parser.epilog:
        yield from ("", parser.epilog)
    for actions in subparsers:
        explained = {each.dest: each.help or "" for each in actions._get_subactions()}
        for action, inner in actions.choices.items():
            yield from _format_verb(inner, f"{name} {action}", explained[action])


def format_usage(parser: argparse.ArgumentParser, name: str) -> str:
    """One line, options first; the order in which people type them."""
    words = [f"[{_spell_option(each)}]" for each in _options(parser)]
    words += [_spell_positional(each) for each in parser._get_positional_actions()]
    return " ".join(["ollama-appliance", name, *words])


def _format_options(parser: argparse.ArgumentParser, title: str) -> Iterator[str]:
    rows = [(_spell_option(each), each.help) for each in _options(parser)]
    rows += [
        (_spell_positional(each), each.help)
        for each in parser._get_positional_actions()
        if not isinstance(each, argparse._SubParsersAction)
    ]
    explained = [(word, text) for word, text in rows if text]
    if not explained:
        return
    yield from ([title, ""] if title else [""])
    yield from ("| option | what |", "| --- | --- |")
    for word, text in explained:
        yield f"| `{_cell(word)}` | {_cell(text)} |"


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All but --help, which every verb has."""
    for each in parser._get_optional_actions():
        if not isinstance(each, argparse._HelpAction):
            yield each


def _spell_option(action: argparse.Action) -> str:
    names = (" | " if isinstance(action, argparse.BooleanOptionalAction) else ", ").join(
        action.option_strings
    )
    return names if action.nargs == 0 else f"{names} {_metavar(action)}"


def _spell_positional(action: argparse.Action) -> str:
    name = _metavar(action)
    return {"?": f"[{name}]", "*": f"[{name} …]", "+": f"{name} …"}.get(str(action.nargs), name)


def _metavar(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices is not None:
        return f"{{{','.join(map(str, action.choices))}}}"
    return action.dest.upper()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print docs/CLI.md."""
    sys.stdout.write(format_cli(make_parser()))


if __name__ == "__main__":
    main()
