"""`rm`, as it is typed."""

from pathlib import Path

import pytest

from appliance.cli import pin, rm
from tests.appliance.cli.wishing import invoke, store_tiny


def test_a_model_goes_and_what_that_frees_is_told(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_tiny(state_dir)
    assert invoke(rm, "rm", "tiny", "--dry-run") == 0
    assert invoke(rm, "rm", "tiny") == 0
    assert capsys.readouterr().out.splitlines() == [
        "tiny: would free 3 bytes",
        "tiny: freed 3 bytes",
    ]


def test_a_pinned_model_stays(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    invoke(pin, "pin", "tiny")
    assert invoke(rm, "rm", "tiny") == 1
    assert "unpin" in capsys.readouterr().err
