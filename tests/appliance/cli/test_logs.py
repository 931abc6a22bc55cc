"""`logs`, as it is typed."""

import json
from pathlib import Path

import pytest

from appliance.audit import Audit
from appliance.cli import logs
from tests.appliance.cli.wishing import invoke
from tests.fakes.journal import put_journal


def test_the_end_of_the_log_is_printed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = put_journal(tmp_path, monkeypatch, "2026-03-01 ready", "2026-03-01 stopping")
    assert invoke(logs, "logs", "-n", "9") == 0
    assert capsys.readouterr().out == "2026-03-01 ready\n2026-03-01 stopping\n"
    assert "--lines=9" in notes.read_text("utf-8")


def test_without_a_journal_it_says_where_the_log_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert invoke(logs, "logs") == 1
    assert invoke(logs, "logs", "--follow") == 1
    assert "standard error" in capsys.readouterr().err


def test_the_audit_log_tells_who_changed_what(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state_dir.mkdir()
    audit = Audit(state_dir, now=lambda: 0.0)
    audit.note("backup", "10.0.0.7", "rm", {"model": "tiny", "dry_run": False}, "done")
    audit.close()
    with (state_dir / "audit.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"at": "cut o\n[1]\n')
    assert invoke(logs, "logs", "--audit") == 0
    assert capsys.readouterr().out.splitlines() == [
        "1970-01-01T00:00:00Z backup from 10.0.0.7: rm model=tiny dry_run=False: done",
        '{"at": "cut o',
        "[1]",
    ]
    assert invoke(logs, "logs", "--audit", "--json", "-n", "3") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["who"] == "backup"


def test_a_configuration_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_APPLIANCE_DNS_PORT", "0")
    assert invoke(logs, "logs", "--audit") == 1
    assert "dns.port" in capsys.readouterr().err
