"""A command line whose verbs stand in groups, as people look for them; argparse knows one list."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, override


class Verb(Protocol):
    """A module of this room."""

    def add_parser(self, subparsers: "argparse._SubParsersAction[Any]", /) -> None:
        """Add its verbs, one or more."""


class GroupedParser(argparse.ArgumentParser):
    """Prints its verbs by group. Add them once, by `add_verbs`."""

    def add_verbs(self, groups: Mapping[str, Sequence[Verb]]) -> None:
        """Add every verb of each group; the groups are titles."""
        self._verbs = self.add_subparsers(metavar="VERB", parser_class=argparse.ArgumentParser)
        self.verb_groups: dict[str, list[str]] = {}
        for title, verbs in groups.items():
            known = set(self._verbs.choices)
            for verb in verbs:
                verb.add_parser(self._verbs)
            self.verb_groups[title] = [each for each in self._verbs.choices if each not in known]
        for name, what in self.explain_verbs():
            parser = self._verbs.choices[name]
            parser.description = parser.description or f"{what[:1].upper()}{what[1:]}."

    def explain_verbs(self) -> Iterator[tuple[str, str]]:
        """Each verb with its sentence."""
        for action in self._verbs._get_subactions():
            yield action.dest, action.help or ""

    def find_verb(self, name: str) -> argparse.ArgumentParser:
        """A verb's own parser."""
        parser: argparse.ArgumentParser = self._verbs.choices[name]
        return parser

    @override
    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        explained = {each.dest: each for each in self._verbs._get_subactions()}
        for title, names in self.verb_groups.items():
            formatter.start_section(title)
            formatter.add_arguments([explained[each] for each in names])
            formatter.end_section()
        formatter.start_section("options")
        formatter.add_arguments(self._get_optional_actions())
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()
