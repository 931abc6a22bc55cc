"""`verify`, as it is typed."""

from pathlib import Path

import pytest

from appliance.cli import verify
from appliance.protocol.digest import digest_of
from tests.appliance.cli.wishing import invoke, store_tiny


def test_a_sound_store_is_told(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    assert invoke(verify, "verify") == 0
    assert capsys.readouterr().out == "1 blobs, 3 bytes read: nothing is wrong\n"


def test_a_flipped_bit_is_found_and_fails(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_tiny(state_dir)
    encoded = digest_of(b"one").encoded
    path = state_dir / "blobs" / "sha256" / encoded[:2] / encoded
    path.write_bytes(b"onf")
    assert invoke(verify, "verify") == 1
    told = capsys.readouterr().out
    assert encoded in told
    assert "1 problem" in told
