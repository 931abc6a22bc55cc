"""Where the box's words are kept: systemd's journal, and the audit log."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.journal import JournalMissingError, read_audit, read_journal
from tests.fakes.journal import put_journal


def test_the_journal_is_asked_for_the_box_s_unit_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = put_journal(tmp_path, monkeypatch, "-- Logs begin --", "ready", "info cache: hit")
    assert read_journal(7) == ["ready", "info cache: hit"]
    asked = notes.read_text("utf-8").split()
    assert {"--unit=ollama-appliance", "--lines=7", "--no-pager"} <= set(asked)
    assert "--output=short-iso" in asked
    read_journal(7, as_json=True)
    assert "--output=json" in notes.read_text("utf-8")


def test_followed_it_is_the_journal_s_own_program_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = put_journal(tmp_path, monkeypatch, "ready")
    code = "from appliance.cli.journal import follow_journal; follow_journal(3, as_json=False)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=30)
    assert done.stdout == b"ready\n"
    assert "--follow" in notes.read_text("utf-8")


@pytest.mark.parametrize(
    ("lines", "error", "why"),
    [
        ((), "", "has nothing of ollama-appliance.service"),
        (("-- No entries --",), "", "has nothing of ollama-appliance.service"),
        ((), "No journal files were opened due to insufficient permissions.", "permissions"),
    ],
)
def test_a_journal_without_the_box_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: tuple[str, ...],
    error: str,
    why: str,
) -> None:
    put_journal(tmp_path, monkeypatch, *lines, error=error)
    with pytest.raises(JournalMissingError, match=why) as caught:
        read_journal(5)
    assert "docker logs" in caught.value.hint


def test_a_machine_without_systemd_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JournalMissingError, match="no journal"):
        read_journal(5)


def test_of_the_audit_log_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_audit(tmp_path, 5) == []
    (tmp_path / "audit.jsonl").write_text("one\ntwo\nthree\n", "utf-8")
    assert read_audit(tmp_path, 2) == ["two", "three"]
    assert read_audit(tmp_path, 0) == []
    monkeypatch.setattr("appliance.cli.journal.AUDIT_SIZE_BYTES_MAX", 6)
    assert read_audit(tmp_path, 5) == ["three"]


def test_an_audit_log_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(JournalMissingError, match="cannot be read: Is a directory"):
        read_audit(tmp_path, 5)
