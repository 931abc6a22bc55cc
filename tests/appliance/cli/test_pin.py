"""`pin` and `unpin`, as they are typed."""

from pathlib import Path

import pytest

from appliance.cli import pin
from appliance.store.store import open_store
from tests.appliance.cli.wishing import invoke, store_tiny


def test_a_pinned_model_is_told_and_kept(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_tiny(state_dir)
    assert invoke(pin, "pin", "tiny") == 0
    assert invoke(pin, "pin", "later:1b") == 0
    assert capsys.readouterr().out.splitlines() == [
        "tiny is pinned",
        "later:1b is pinned, and stays once it is here: it was not pulled yet",
    ]
    with open_store(state_dir) as store:
        assert store.pins() == {"library/tiny:latest", "library/later:1b"}


def test_unpinning_says_whether_it_was(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    invoke(pin, "pin", "tiny")
    capsys.readouterr()
    assert [invoke(pin, "unpin", "tiny"), invoke(pin, "unpin", "tiny")] == [0, 0]
    assert capsys.readouterr().out.splitlines() == ["tiny is pinned no more", "tiny was not pinned"]
