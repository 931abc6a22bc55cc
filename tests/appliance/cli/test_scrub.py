"""`scrub`, as it is typed."""

from pathlib import Path

import pytest

from appliance.cli import scrub
from appliance.protocol.digest import digest_of
from tests.appliance.cli.wishing import invoke, store_tiny


def test_a_sound_store_is_told(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    assert invoke(scrub, "scrub") == 0
    assert capsys.readouterr().out == "1 blobs, 3 bytes read: nothing is wrong\n"


def test_what_is_not_mended_yet_fails(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    encoded = digest_of(b"one").encoded
    (state_dir / "blobs" / "sha256" / encoded[:2] / encoded).write_bytes(b"onf")
    assert invoke(scrub, "scrub", "tiny") == 1
    told = capsys.readouterr().out
    assert f"{encoded}: 3 bytes were wrong; out of service" in told
    assert "1 damaged" in told


def test_no_such_model_is_told(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    assert invoke(scrub, "scrub", "other") == 1
    assert "not held" in capsys.readouterr().err
