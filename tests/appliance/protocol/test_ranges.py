"""Ranges: the RFC's examples, a slicing oracle, and whatever text exists."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import RangeNotSatisfiable
from appliance.protocol.ranges import (
    Span,
    format_content_range,
    format_range,
    parse_content_range,
    parse_range,
)

SATISFIABLE = {
    "bytes=0-499": Span(0, 500),
    "bytes=500-999": Span(500, 1000),
    "bytes=-500": Span(9500, 10000),
    "bytes=9500-": Span(9500, 10000),
    "bytes=0-0": Span(0, 1),
    "bytes=9999-99999": Span(9999, 10000),
    "bytes=-99999": Span(0, 10000),
    "Bytes=0-0": Span(0, 1),
}
IGNORED = (
    *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "items=1-2", "bytes=5-2", "bytes=0-1,4-5"),
    *("bytes= 0-1", "bytes=\u0661-\u0662", "bytes=0-" + "9" * 19),
)


@pytest.mark.parametrize("field", SATISFIABLE)
def test_a_single_range_is_the_span_it_says(field: str) -> None:
    assert parse_range(field, 10000) == SATISFIABLE[field]


@pytest.mark.parametrize("field", IGNORED)
def test_what_we_do_not_serve_means_the_whole_blob(field: str) -> None:
    assert parse_range(field, 10000) is None


@pytest.mark.parametrize("field", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_bytes_that_do_not_exist_are_a_416(field: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(field, 10000)


@pytest.mark.parametrize("field", ["bytes=0-", "bytes=-1", "bytes=5-9"])
def test_an_empty_blob_has_no_ranges(field: str) -> None:
    assert parse_range(field, 0) is None


@given(st.text() | st.from_regex(r"bytes=[0-9]*-[0-9]*"), st.integers(0, 2**62))
def test_any_field_gives_bytes_that_exist_or_a_416(field: str, length: int) -> None:
    try:
        span = parse_range(field, length)
    except RangeNotSatisfiable:
        return
    assert span is None or span.stop <= length


@given(st.binary(min_size=1), st.integers(0, 99), st.integers(0, 99))
def test_a_range_is_a_slice(blob: bytes, first: int, extra: int) -> None:
    wanted = blob[first : first + extra + 1]
    if not wanted:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(f"bytes={first}-{first + extra}", len(blob))
        return
    span = parse_range(f"bytes={first}-{first + extra}", len(blob))
    assert span is not None
    assert blob[span.start : span.stop] == wanted
    assert span.size_bytes == len(wanted)


@given(st.integers(0, 2**40), st.integers(1, 2**40), st.integers(0, 9))
def test_fields_we_write_are_fields_we_read(start: int, size: int, after: int) -> None:
    span = Span(start, start + size)
    assert parse_range(format_range(span), span.stop + after) == span
    assert parse_content_range(format_content_range(span, span.stop + after)) == (
        span,
        span.stop + after,
    )


def test_an_origin_may_not_know_the_complete_length() -> None:
    assert parse_content_range("bytes 0-9/*") == (Span(0, 10), None)


@pytest.mark.parametrize("field", ["", "bytes */10", "bytes 5-2/10", "0-9/10", "bytes 0-9"])
def test_a_content_range_that_carries_no_span_is_none(field: str) -> None:
    assert parse_content_range(field) is None


@pytest.mark.parametrize(("start", "stop"), [(-1, 1), (1, 1), (2, 1)])
def test_a_span_is_never_empty_or_negative(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a span"):
        Span(start, stop)
