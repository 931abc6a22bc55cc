"""The keys against their manual: appliance.conf and the declarations say the same."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from appliance.config import load_config
from appliance.config.declaring import Key
from appliance.config.keys import KEYS, Sections
from appliance.config.sources import all_keys

MANUAL = Path(__file__).parents[3] / "appliance.conf"
UNCOMMENTED = re.sub(r"(?m)^#(?=[a-z\"\]])", "", MANUAL.read_text("utf-8"))


def paragraphs(section: str) -> dict[str, str]:
    """The prose above each commented key of a section, by the key and its value, each in one line.

    Lines of a setting have no space after their `#`; a long list has several.
    """
    text = MANUAL.read_text("utf-8")
    body = re.split(r"(?m)^\[", text.split(f"\n[{section}]\n")[1])[0]
    blocks = [each.splitlines() for each in body.split("\n\n") if re.search("(?m)^#[a-z]", each)]
    return dict(map(_read_paragraph, blocks))


def _read_paragraph(lines: list[str]) -> tuple[str, str]:
    prose = [line.removeprefix("#") for line in lines if line.startswith("# ")]
    setting = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    ((name, value),) = tomllib.loads("\n".join(setting)).items()
    return f"{name} = {json.dumps(value)}", " ".join(" ".join(prose).split())


def declared(key: Key) -> str:
    return f"{key.doc} Why: {key.reason} Unit: {key.kind.unit}."


def test_the_manual_has_every_section_and_key_in_order() -> None:
    table = tomllib.loads(UNCOMMENTED)
    assert [(section, key) for section in table for key in table[section]] == list(all_keys())


@pytest.mark.parametrize(("section", "name"), all_keys())
def test_the_manual_says_what_is_declared(section: str, name: str) -> None:
    key = KEYS[section][name]
    assert paragraphs(section).get(f"{name} = {json.dumps(key.default)}") == declared(key)


def test_the_manual_as_it_stands_sets_nothing() -> None:
    config = load_config(MANUAL, {})
    assert config.settings == {}


def test_the_manual_uncommented_is_exactly_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "appliance.conf"
    file.write_text(UNCOMMENTED, "utf-8")
    config = load_config(file, {})
    assert [getattr(config, section) for section in KEYS] == [
        getattr(Sections(), section) for section in KEYS
    ]
    assert config.warnings == ()
    assert not any(config.is_default(section, key) for section, key in all_keys())


def test_every_line_of_the_manual_fits_a_terminal() -> None:
    assert max(len(line) for line in MANUAL.read_text("utf-8").splitlines()) <= 100
