"""`cache clear`, as it is typed: asked before, told after, and what is pinned stays."""

import io
import json
from pathlib import Path

import pytest

from appliance.cli import cache, pin
from appliance.store.store import open_store
from tests.appliance.cli.wishing import invoke, store_tiny


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def blob_count(state_dir: Path) -> int:
    with open_store(state_dir) as store:
        return store.stats().blob_count


def test_it_asks_and_says_what_would_go(
    state_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_tiny(state_dir)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert invoke(cache, "cache", "clear") == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == ["would let go of tiny", "would free 3 bytes"]
    assert "nothing was done" in said.err
    assert blob_count(state_dir) == 1
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert invoke(cache, "cache", "clear") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["let go of tiny", "freed 3 bytes"]
    assert blob_count(state_dir) == 0


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_where_nobody_can_be_asked_nothing_goes(
    state_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:
    store_tiny(state_dir)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert invoke(cache, "cache", "clear", *words) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "--yes" in said.err
    assert blob_count(state_dir) == 1


def test_yes_and_json_are_for_scripts(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_tiny(state_dir)
    assert invoke(cache, "cache", "clear", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["models"] == ["tiny"]
    assert blob_count(state_dir) == 1
    assert invoke(cache, "cache", "clear", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == 3
    assert blob_count(state_dir) == 0


def test_what_is_pinned_stays(
    state_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store_tiny(state_dir)
    assert invoke(pin, "pin", "tiny") == 0
    capsys.readouterr()
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert invoke(cache, "cache", "clear") == 0
    assert "nothing may go" in capsys.readouterr().out
    assert invoke(cache, "cache", "clear", "--yes") == 0
    assert blob_count(state_dir) == 1


def test_a_refusal_is_an_error(state_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(cache, "cache", "clear", "--yes") == 1
    assert "ollama-appliance run" in capsys.readouterr().err
