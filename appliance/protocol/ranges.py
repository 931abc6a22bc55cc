"""Byte ranges: from a client's `Range` field to the span of bytes it means.

The wire counts inclusively (`bytes=0-0` is one byte); disks and sizes count half-open. The
two meet here and nowhere else. Where RFC 9110 §14 leaves the choice we ignore the field and
send the whole blob, so a 416 says one thing only: those bytes do not exist.
"""

import re
from dataclasses import dataclass

from appliance.protocol.errors import RangeNotSatisfiable

# ASCII digits only (`\d` takes others), and no more than a 63-bit offset has: longer numerals
# are somebody's experiment, and int() refuses those past a few thousand digits.
_SPEC = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The bytes from `start` up to, not including, `stop`. Never empty."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"not a span: [{self.start}, {self.stop})")

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


def parse_range(field: str, complete_length: int) -> Span | None:
    """Return the span that `field` asks of a blob, or None where the field is to be ignored.

    Raises:
        RangeNotSatisfiable: the range is well formed and past the end, or a suffix of nothing.
    """
    unit, _, spec = field.partition("=")
    match = _SPEC.fullmatch(spec)
    if unit.lower() != "bytes" or match is None or spec == "-" or complete_length == 0:
        return None
    first, last = match[1], match[2]
    if not first:  # The last N bytes, or all of them where there are fewer.
        start, stop = max(0, complete_length - int(last)), complete_length
    elif not last:
        start, stop = int(first), complete_length
    elif int(last) < int(first):
        return None
    else:
        start, stop = int(first), min(int(last) + 1, complete_length)
    if start >= complete_length:
        raise RangeNotSatisfiable(complete_length)
    return Span(start, stop)


def format_range(span: Span) -> str:
    """The `Range` field that asks an origin for `span`."""
    return f"bytes={span.start}-{span.stop - 1}"


def format_content_range(span: Span, complete_length: int) -> str:
    """The `Content-Range` of a 206 that carries `span` (RFC 9110 §14.4)."""
    assert span.stop <= complete_length, "a span ends inside its blob"
    return f"bytes {span.start}-{span.stop - 1}/{complete_length}"


_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")


def parse_content_range(field: str) -> tuple[Span, int | None] | None:
    """The span that a 206 says it carries and the complete length, or None if it says neither.

    A complete length of `*` is None: the origin does not know it.
    """
    match = _CONTENT_RANGE.fullmatch(field)
    if match is None or int(match[2]) < int(match[1]):
        return None
    complete = None if match[3] == "*" else int(match[3])
    return Span(int(match[1]), int(match[2]) + 1), complete
