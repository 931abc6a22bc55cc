"""Where settings come from: the file's text and the environment's variables, to raw values.

Theory of operation. `tomllib` gives values and no places, and people need the line. A valid TOML
text is a sequence of statements, each one or more whole lines, each valid by itself: so the lines
are gathered until they parse, and what the statement sets is found at its first line. Whatever
cannot be read becomes a Problem; nothing here stops at the first.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from appliance.config.keys import KEYS

VARIABLE_PREFIX = "OLLAMA_APPLIANCE_"
FILE_VARIABLE = "OLLAMA_APPLIANCE_CONFIG"

# What ollama-lancache's users have in their units and compose files; our own variables go before.
# OLLAMA_MODELS is none of them: it is where the Ollama of this machine keeps its models, in another
# layout, and a box that shares the machine with one must not take that directory for its own.
ALIASES = {
    "OLLAMA_LANCACHE_PORT": ("web", "ports"),
    "OLLAMA_LANCACHE_HOST": ("box", "listen"),
}

_TOML_PLACE = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Source:
    """A file and the line in it (from 1), or a variable, which has no lines."""

    name: str
    line: int | None = None

    def __str__(self) -> str:
        return self.name if self.line is None else f"{self.name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where it stands, and what may have been meant."""

    source: Source
    key: str
    """`section.key`, or a section, or empty where the whole source is at fault."""
    what: str
    nearest: str | None = None

    def __str__(self) -> str:
        subject = f"{self.source}: {self.key}: " if self.key else f"{self.source}: "
        return subject + self.what + (f"; did you mean {self.nearest}?" if self.nearest else "")


@dataclass(frozen=True, slots=True)
class Setting:
    """A raw value given to a known key."""

    section: str
    key: str
    raw: object
    source: Source


def parse_file(text: str, name: str) -> tuple[list[Setting], list[Problem]]:
    """Every known key that `text` sets, and all that is wrong with its shape. Values not judged."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [], [_toml_problem(str(error), text, name)]
    lines = find_lines(text)
    settings: list[Setting] = []
    problems: list[Problem] = []
    for section, content in table.items():
        found = _read_section(section, content, name, lines)
        settings += [each for each in found if isinstance(each, Setting)]
        problems += [each for each in found if isinstance(each, Problem)]
    return settings, problems


def parse_environment(environ: Mapping[str, str]) -> tuple[list[Setting], list[Problem]]:
    """The same for the aliases, then for the variables that start with VARIABLE_PREFIX."""
    known = {variable_name(section, key): (section, key) for section, key in all_keys()}
    settings = [_read_alias(alias, environ[alias]) for alias in ALIASES if environ.get(alias)]
    problems: list[Problem] = []
    for variable in sorted(environ):
        if not variable.startswith(VARIABLE_PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in known:
            problems.append(_unknown_variable(variable, (*known, FILE_VARIABLE)))
            continue
        section, key = known[variable]
        raw = KEYS[section][key].kind.lex(environ[variable])
        settings.append(Setting(section, key, raw, Source(variable)))
    return settings, problems


def _read_alias(variable: str, text: str) -> Setting:
    section, key = ALIASES[variable]
    return Setting(section, key, KEYS[section][key].kind.lex(text), Source(variable))


def all_keys() -> Iterator[tuple[str, str]]:
    """Every (section, key), in the manual's order."""
    return ((section, key) for section, keys in KEYS.items() for key in keys)


def variable_name(section: str, key: str) -> str:
    """The environment variable that sets a key."""
    return f"{VARIABLE_PREFIX}{section}_{key}".upper()


def find_lines(text: str) -> dict[tuple[str, ...], int]:
    """The line (from 1) on which each section and each key of a valid TOML text is first set."""
    lines: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    statement, start = "", 1
    for number, line in enumerate(text.split("\n"), start=1):
        statement += line + "\n"
        try:
            table = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        paths = list(_paths(table))
        if statement.lstrip().startswith("[") and paths:
            section = max(paths, key=len)
            base: tuple[str, ...] = ()
        else:
            base = section
        for path in paths:
            lines.setdefault((*base, *path), start)
        statement, start = "", number + 1
    return lines


def _paths(table: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """Every path into a nested table, the shorter ones first."""
    for name, value in table.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *path) for path in _paths(value))


def _toml_problem(message: str, text: str, name: str) -> Problem:
    place = _TOML_PLACE.search(message)
    line = text.count("\n") + 1 if place is None or place[1] is None else int(place[1])
    what = _TOML_PLACE.sub("", message)
    return Problem(Source(name, line), "", f"not TOML: {what[:1].lower()}{what[1:]}")


def _read_section(
    section: str, content: object, name: str, lines: Mapping[tuple[str, ...], int]
) -> list[Setting | Problem]:
    source = Source(name, lines.get((section,)))
    if section not in KEYS:
        return [_unknown_section(section, content, source)]
    if not isinstance(content, dict):
        return [Problem(source, section, f"is a section: write [{section}] on a line of its own")]
    found: list[Setting | Problem] = []
    for key, raw in content.items():
        source = Source(name, lines.get((section, key)))
        if key in KEYS[section]:
            found.append(Setting(section, key, raw, source))
        else:
            path = f"{section}.{key}"
            found.append(Problem(source, path, "no such key", _nearest_key(section, key)))
    return found


def _unknown_variable(variable: str, known: Iterable[str]) -> Problem:
    """Compared without the prefix, which would make every variable look like every other."""
    ends = [each.removeprefix(VARIABLE_PREFIX) for each in known]
    nearest = _nearest(variable.removeprefix(VARIABLE_PREFIX), ends)
    meant = f"{VARIABLE_PREFIX}{nearest}" if nearest else None
    return Problem(Source(variable), "", "no such setting", meant)


def _unknown_section(section: str, content: object, source: Source) -> Problem:
    if isinstance(content, dict):
        nearest = _nearest(section, KEYS)
        return Problem(source, section, "no such section", f"[{nearest}]" if nearest else None)
    homes = [f"{home}.{key}" for home, key in all_keys() if key == section]
    return Problem(source, section, "stands in no section", homes[0] if homes else None)


def _nearest_key(section: str, key: str) -> str | None:
    nearest = _nearest(key, KEYS[section])
    if nearest is not None:
        return f"{section}.{nearest}"
    elsewhere = [f"{home}.{name}" for home, name in all_keys() if name == key]
    return elsewhere[0] if elsewhere else _nearest(f"{section}.{key}", map(".".join, all_keys()))


def _nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that begins so, else the one that looks most like it, if any does."""
    spelled = {each.lower(): each for each in words}
    begun = [each for each in spelled if len(word) > 2 and each.startswith(word.lower())]
    matches = begun or get_close_matches(word.lower(), list(spelled), n=1)
    return spelled[matches[0]] if matches else None
