"""How the end of a wish is told: JSON, lines, or a reason and what to type."""

import json
from pathlib import Path

import pytest

from appliance.cli import gc, pin, rm
from tests.appliance.cli.wishing import invoke, store_tiny


def test_an_answer_comes_as_lines_or_as_json(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_tiny(state_dir)
    assert invoke(gc, "gc", "--dry-run") == 0
    assert capsys.readouterr().out == "would free 0 bytes: 0 blobs, 0 manifests\n"
    assert invoke(gc, "gc", "--json") == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == 0


@pytest.mark.parametrize(("name", "hint"), [("no/such/name", "a name is such as"), ("x", "models")])
def test_a_refusal_says_what_to_type(
    state_dir: Path, capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    store_tiny(state_dir)
    assert invoke(rm, "rm", name) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert hint in told.err


@pytest.mark.usefixtures("state_dir")
def test_with_no_box_and_no_state_it_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(pin, "pin", "tiny") == 1
    assert "ollama-appliance run" in capsys.readouterr().err
