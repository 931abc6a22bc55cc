"""The audit log: one line of JSON for each change that somebody asked for, done or refused.

It is a file of its own under the state directory, 0600, and grows to a bound: the oldest lines go.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from appliance.control import Deed

FILE_NAME = "audit.jsonl"
FILE_SIZE_BYTES_MAX = 4 * 1024 * 1024  # Some 20,000 lines: years of a box's changes.
FILES_KEPT = 3  # Beside the one being written.

_log = logging.getLogger("audit")


class _PrivateFile(RotatingFileHandler):
    """Opens its file for its owner alone, also after a rotation."""

    def _open(self) -> Any:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")


class Audit:
    """Writes the lines. Any thread may; a line that the disk does not take goes to the log."""

    def __init__(self, state_dir: Path, *, now: Callable[[], float]) -> None:
        self._now = now
        self._file = _PrivateFile(
            state_dir / FILE_NAME,
            maxBytes=FILE_SIZE_BYTES_MAX,
            backupCount=FILES_KEPT,
            encoding="utf-8",
            delay=True,
        )
        self._file.setFormatter(logging.Formatter("%(message)s"))

    def note(self, who: str, where: str, deed: str, wish: Mapping[str, Any], outcome: str) -> None:
        """Write that `who`, at the address `where`, wished for `deed`, and what came of it."""
        line = json.dumps(
            {
                "at": f"{datetime.fromtimestamp(self._now(), UTC):%Y-%m-%dT%H:%M:%SZ}",
                "who": who,
                "from": where,
                "deed": deed,
                "wish": dict(wish),
                "outcome": outcome,
            }
        )
        _log.info("%s", line)
        record = logging.LogRecord("audit", logging.INFO, "", 0, line, None, None)
        self._file.handle(record)

    def watch(self, who: str, where: str, name: str, deed: Deed) -> Deed:
        """The same deed, with a line for each time that it is wished for."""

        async def watched(wish: Mapping[str, Any]) -> Any:
            try:
                answer = await deed(wish)
            except Exception as fault:
                self.note(who, where, name, wish, f"refused: {fault}")
                raise
            self.note(who, where, name, wish, "done")
            return answer

        return watched

    def close(self) -> None:
        self._file.close()
