"""A `journalctl` of our own on the PATH: it notes what it was asked, and says what a test wants."""

import shlex
from pathlib import Path

import pytest


def put_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *lines: str, error: str = ""
) -> Path:
    """Put it there; returns where it notes its arguments."""
    folder, notes = tmp_path / "tools", tmp_path / "asked"
    folder.mkdir()
    words = " ".join(shlex.quote(line) for line in lines)
    told = f"printf '%s\\n' {words}" if lines else ":"
    failed = f"echo {shlex.quote(error)} >&2; exit 1" if error else ":"
    script = f'#!/bin/sh\necho "$*" >{shlex.quote(str(notes))}\n{told}\n{failed}\n'
    (folder / "journalctl").write_text(script, "utf-8")
    (folder / "journalctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return notes
