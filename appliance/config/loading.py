"""The configuration: appliance.conf and the environment, to one frozen Config.

Theory of operation. A file is chosen, its settings are read, the environment's are laid over them,
each value is read by its key's kind, and the whole is held against the rules that concern more
than one key. Every step collects what is wrong and goes on, so that an operator sees all of it at
once; only then is anything raised. What is legal and yet seldom meant becomes a warning.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from appliance.config.keys import KEYS, Sections
from appliance.config.rules import ERRORS, WARNINGS, Rule
from appliance.config.sources import (
    FILE_VARIABLE,
    Problem,
    Setting,
    Source,
    parse_environment,
    parse_file,
)

LOCAL_FILE = Path("appliance.conf")
SYSTEM_FILE = Path("/etc/ollama-appliance/appliance.conf")
SYSTEM_STATE_DIR = Path("/var/lib/ollama-appliance")
LOCAL_STATE_DIR = Path("state")

FILE_SIZE_BYTES_MAX = 256 * 1024  # Twenty times the manual; more is another file by mistake.
BYTE_ORDER_MARK = "\ufeff"  # Windows editors put one; TOML knows none.


class ConfigInvalidError(Exception):
    """The configuration cannot be used; carries all that is wrong with it, not the first only."""

    hint = "correct the lines above, then: ollama-appliance check"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Config(Sections):
    """Every setting, checked. `Config()` is the defaults, with the state directory unresolved."""

    path: Path | None = None
    """The file it came from; None where there was none."""
    settings: Mapping[tuple[str, str], Setting] = field(default_factory=dict)
    """What was set by someone, by (section, key), the environment's before the file's."""
    warnings: tuple[Problem, ...] = ()

    @property
    def state_dir(self) -> Path:
        """`box.state_dir`, or the place that goes with where the configuration came from."""
        if self.box.state_dir is not None:
            return self.box.state_dir
        is_system = self.path is not None and self.path.absolute() == SYSTEM_FILE
        return SYSTEM_STATE_DIR if is_system else LOCAL_STATE_DIR

    def is_default(self, section: str, key: str) -> bool:
        """Whether nobody set this key; set to its very default it counts as set."""
        assert key in KEYS[section]
        return (section, key) not in self.settings

    def source(self, section: str, key: str) -> Source:
        """Where the value came from; a Source named `default` where nobody set it."""
        setting = self.settings.get((section, key))
        return Source("default") if setting is None else setting.source

    def raw(self, section: str, key: str) -> object:
        """The value as TOML and JSON write it."""
        setting = self.settings.get((section, key))
        return KEYS[section][key].default if setting is None else setting.raw


def read_environment() -> Mapping[str, str]:
    """The process's environment, for `load_config`: the one place that looks at it."""
    return dict(os.environ)  # noqa: TID251  # This is that place.


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration from `path`, else from where `choose_file` finds it. Blocks.

    Raises:
        ConfigInvalidError: with every problem in the file, the environment and their values.
    """
    chosen = choose_file(path, environ)
    settings, problems = _read_file(chosen) if chosen is not None else ([], [])
    overrides, more = parse_environment(environ)
    given = [*settings, *overrides]
    values, unfit = _read_values(given)
    problems += [*more, *unfit]
    config = Config(
        path=chosen,
        settings={(each.section, each.key): each for each in given},
        **_sections(values),
    )
    problems += _breaks(ERRORS, config, faulty={each.key for each in problems})
    if problems:
        raise ConfigInvalidError(tuple(problems))
    return replace(config, warnings=tuple(_breaks(WARNINGS, config)))


def choose_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """--config, else the variable, else ./appliance.conf, else the one in /etc, else none.

    The first two are taken at their word; the others only where they exist.
    """
    if path is not None:
        return path
    if environ.get(FILE_VARIABLE):
        return Path(environ[FILE_VARIABLE])
    return next((each for each in (LOCAL_FILE, SYSTEM_FILE) if each.exists()), None)


def _read_file(path: Path) -> tuple[list[Setting], list[Problem]]:
    name = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(FILE_SIZE_BYTES_MAX + 1)
    except OSError as error:
        return [], [Problem(Source(name), "", f"cannot be read: {error.strerror}")]
    if len(content) > FILE_SIZE_BYTES_MAX:
        what = f"is larger than {FILE_SIZE_BYTES_MAX} bytes: no appliance.conf is"
        return [], [Problem(Source(name), "", what)]
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [], [Problem(Source(name, line), "", "is not UTF-8 text")]
    return parse_file(text.removeprefix(BYTE_ORDER_MARK), name)


def _read_values(given: Iterable[Setting]) -> tuple[dict[tuple[str, str], Any], list[Problem]]:
    """The checked values, the later settings over the earlier, and those that are none."""
    values: dict[tuple[str, str], Any] = {}
    problems: list[Problem] = []
    for each in given:
        kind = KEYS[each.section][each.key].kind
        try:
            values[each.section, each.key] = kind.read(each.raw)
        except ValueError as error:
            detail = f": {error}" if str(error) else ""
            what = f"expected {kind.unit}, found {json.dumps(each.raw, default=str)}{detail}"
            problems.append(Problem(each.source, f"{each.section}.{each.key}", what))
    return values, problems


def _sections(values: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    defaults = Sections()
    return {
        section: replace(
            getattr(defaults, section),
            **{key: values[section, key] for key in keys if (section, key) in values},
        )
        for section, keys in KEYS.items()
    }


def _breaks(
    rules: Iterable[Rule], config: Config, faulty: Collection[str] = ()
) -> Iterator[Problem]:
    """What breaks `rules`; those about a faulty key are left, as nothing is known of its value."""
    for rule in rules:
        what = None if set(rule.keys) & set(faulty) else rule.broken(config)
        if what is not None:
            concerned = [tuple(key.split(".")) for key in rule.keys]
            section, key = next(
                (each for each in concerned if each in config.settings), concerned[0]
            )
            yield Problem(config.source(section, key), f"{section}.{key}", what)
