"""What the box has written down: its log, where systemd's journal keeps it, and its audit log.

The box itself stores no log. It writes to standard error, and whoever started it keeps that: the
journal of systemd, Docker, or a terminal.
"""

import os
import shutil
import subprocess
from pathlib import Path

from appliance.audit import FILE_NAME as AUDIT_FILE

UNIT = "ollama-appliance"
AUDIT_SIZE_BYTES_MAX = 4 * 1024 * 1024  # What is read of it at most, from its end.


class JournalMissingError(Exception):
    """There is no log here that could be read."""

    hint = (
        "the box logs to standard error of who started it: its terminal, or docker logs CONTAINER"
    )


def make_command(line_count: int, *, as_json: bool, is_followed: bool) -> tuple[str, ...]:
    """What prints the end of the log. Raises JournalMissingError."""
    journalctl = shutil.which("journalctl")
    if journalctl is None:
        raise JournalMissingError("this machine has no journal of systemd's")
    output = "json" if as_json else "short-iso"
    options = ("--no-pager", f"--lines={line_count}", f"--output={output}")
    return (journalctl, f"--unit={UNIT}", *options, *(("--follow",) if is_followed else ()))


def read_journal(line_count: int, *, as_json: bool = False) -> list[str]:
    """The end of the log. Blocks. Raises JournalMissingError."""
    command = make_command(line_count, as_json=as_json, is_followed=False)
    found = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")  # noqa: S603
    lines = [line for line in found.stdout.splitlines() if not line.startswith("-- ")]
    if found.returncode or not lines:
        told = found.stderr.strip().splitlines()
        why = told[-1] if told else f"the journal has nothing of {UNIT}.service"
        raise JournalMissingError(why)
    return lines


def follow_journal(line_count: int, *, as_json: bool) -> None:
    """Become the program that prints the log as it grows. Raises JournalMissingError."""
    command = make_command(line_count, as_json=as_json, is_followed=True)
    os.execv(command[0], command)  # noqa: S606  # No shell, and nothing is left of us to wait.


def read_audit(state_dir: Path, line_count: int) -> list[str]:
    """The end of the audit log, a JSON object a line; none where nothing was changed yet. Blocks.

    Raises JournalMissingError: it is there and not ours to read.
    """
    path = state_dir / AUDIT_FILE
    try:
        with path.open("rb") as file:
            size_bytes = os.fstat(file.fileno()).st_size
            file.seek(max(0, size_bytes - AUDIT_SIZE_BYTES_MAX))
            lines = file.read(AUDIT_SIZE_BYTES_MAX).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JournalMissingError(f"{path} cannot be read: {error.strerror}") from error
    return lines[-line_count:] if line_count else []
