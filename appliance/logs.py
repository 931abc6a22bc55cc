"""One line shape for every service, on standard error; nothing else configures logging.

    2026-11-20T18:39:42Z info cache: filled sha256:ab12 seconds=3.1 client=10.0.0.7

Instant, level, the service that speaks (the room: `appliance.dns.server` and `dns` are both `dns`),
the message, and what was passed as `extra`, as key=value. One record is one line; only a traceback
follows it, indented. Where the journal keeps the time itself, `timestamps` leaves ours out.

Clients cause lines, so there is a bound: LINES_PER_MINUTE_MAX, and as many again of warnings and
errors. What is past it is counted, and the next line tells as `left_out`.

Secrets are taken out of the finished line, tracebacks included, so that nobody who logs has to
think of it: what signs a URL of the origin or a grant of ours, bearer tokens, the Authorization
field, and passwords in URLs.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

REDACTED = "[redacted]"

# What these say at `info` is about their own insides.
QUIET_LOGGERS = ("aiohttp", "asyncio", "hpack", "mitmproxy", "urllib3")

LINES_PER_MINUTE_MAX = 3000  # A classroom's pulls are 2,000 lines; a day of these is 0.5 GB.

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BARE = re.compile(r"[^\s\"'=\x00-\x1f\x7f-\x9f]+")
_SECRETS = (
    # Query parameters, also of a URL that is itself quoted in another's query.
    re.compile(
        r"(?i)((?<![a-z0-9])(?:x-amz-(?:signature|credential|security-token)"
        r"|signature|sig|token|access_token)(?:=|%3d))[^&\s\"'<>\\]+"
    ),
    re.compile(r"(?i)(\bauthorization\\?['\"]?\s*[:=,]\s*).+"),
    re.compile(r"(?i)(\bbearer\s+)[a-z0-9._~+/=-]{8,}"),
    re.compile(r"(://)[^/\s@\"']+(?=@)"),
)


class LineFormatter(logging.Formatter):
    """A record to its line, and its traceback to indented ones after it."""

    def __init__(self, *, timestamps: bool) -> None:
        super().__init__()
        self._timestamps = timestamps

    def format(self, record: logging.LogRecord) -> str:
        words = [record.levelname.lower(), f"{service_of(record.name)}:"]
        if self._timestamps:
            at = datetime.fromtimestamp(record.created, UTC)
            words.insert(0, f"{at:%Y-%m-%dT%H:%M:%SZ}")
        words.append(_one_line(record.getMessage()))
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        words += [f"{key}={_format_value(value)}" for key, value in extra.items()]
        lines = [" ".join(words)]
        if record.exc_info:
            lines += self.formatException(record.exc_info).splitlines()
        return "\n    ".join(redact(_one_line(line)) for line in lines)


class _Bound:
    """A minute's worth of lines, refilled evenly."""

    def __init__(self) -> None:
        self._left = float(LINES_PER_MINUTE_MAX)
        self._at = 0.0
        self._left_out = 0

    def admit(self, record: logging.LogRecord) -> bool:
        """Whether the line has room; one that does says how many before it had none."""
        passed_seconds = max(0.0, record.created - self._at)  # Clocks are set back, too.
        self._at = record.created
        refilled = self._left + passed_seconds * LINES_PER_MINUTE_MAX / 60
        self._left = min(refilled, float(LINES_PER_MINUTE_MAX))
        if self._left < 1:
            self._left_out += 1
            return False
        self._left -= 1
        if self._left_out:
            vars(record)["left_out"] = self._left_out
            self._left_out = 0
        return True


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # Generic in stubs only.
    """Ours, so that configuring twice does not print twice; and bounded."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._news, self._troubles = _Bound(), _Bound()

    def emit(self, record: logging.LogRecord) -> None:
        bound = self._news if record.levelno < logging.WARNING else self._troubles
        if bound.admit(record):
            super().emit(record)


def configure_logs(*, level: int, timestamps: bool) -> None:
    """Send everything from `level` up to standard error, once, however often this is called."""
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(LineFormatter(timestamps=timestamps))
    root = logging.getLogger()
    for each in [each for each in root.handlers if isinstance(each, _StderrHandler)]:
        root.removeHandler(each)
    root.addHandler(handler)
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def service_of(logger_name: str) -> str:
    """The room a logger's name stands for."""
    return logger_name.removeprefix("appliance.").partition(".")[0]


def redact(line: str) -> str:
    """`line` without what would let its reader act as somebody else."""
    for secret in _SECRETS:
        line = secret.sub(rf"\1{REDACTED}", line)
    return line


def _one_line(text: str) -> str:
    """No text of a client's can begin a line of ours, or move a terminal's cursor."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _format_value(value: object) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)
