"""`evict`, as it is typed."""

from pathlib import Path

import pytest

from appliance.cli import evict
from tests.appliance.cli.wishing import invoke, store_tiny


def test_what_goes_is_named(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    assert invoke(evict, "evict", "3B", "-n") == 0
    assert invoke(evict, "evict", "3B") == 0
    assert capsys.readouterr().out.splitlines() == [
        "would let go of tiny",
        "would free 3 bytes",
        "let go of tiny",
        "freed 3 bytes",
    ]


def test_too_little_to_free_is_a_failure(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store_tiny(state_dir)
    assert invoke(evict, "evict", "1GB") == 1
    assert "pinned, or in use" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["5%", "", "many", "-1B"])
def test_an_odd_size_is_a_mistake_of_the_command_line(size: str) -> None:
    with pytest.raises(SystemExit):
        invoke(evict, "evict", size)
