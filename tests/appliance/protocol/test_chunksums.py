"""Chunksums: what is read covers the blob, and whatever else there is, is refused."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.chunksums import (
    Chunk,
    ChunksumsMalformedError,
    format_chunksums,
    parse_chunksums,
    whole,
)
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span

A, B = digest_of(b"a"), digest_of(b"b")


def test_words_are_read_by_any_white_space() -> None:
    content = f"{A} 0-9 {B}\n10-10\r\n".encode()
    assert parse_chunksums(content, 11) == (Chunk(A, Span(0, 10)), Chunk(B, Span(10, 11)))


def test_a_line_has_both_ends_included() -> None:
    assert format_chunksums([Chunk(A, Span(0, 10))]) == f"{A} 0-9\n".encode()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="nothing of something"),
        pytest.param(f"{A}", id="half a pair"),
        pytest.param(f"{A} 0-8", id="short of the end"),
        pytest.param(f"{A} 0-10", id="past the end"),
        pytest.param(f"{A} 1-9", id="not from the beginning"),
        pytest.param(f"{A} 0-3 {B} 5-9", id="a gap"),
        pytest.param(f"{A} 0-5 {B} 5-9", id="an overlap"),
        pytest.param(f"{A} 5-9 {B} 0-4", id="out of order"),
        pytest.param(f"{A} 0-4 {B} 5-4 {A} 5-9", id="an empty chunk"),
        pytest.param(f"{A} 9-0", id="backwards"),
        pytest.param(f"{A} -9", id="a suffix"),
        pytest.param(f"{A} 0-", id="open"),
        pytest.param(f"{A} 0-\u0669", id="digits, but not ASCII ones"),
        pytest.param(f"md5:{A.encoded} 0-9", id="another algorithm"),
        pytest.param(f"0-9 {A}", id="the other way round"),
        pytest.param("<html> </html>", id="a captive portal"),
    ],
)
def test_malformed(content: str) -> None:
    with pytest.raises(ChunksumsMalformedError):
        parse_chunksums(content.encode(), 10)


@given(blob=st.binary(), cuts=st.sets(st.integers(1, 63)))
def test_every_cut_of_a_blob_is_read_back_and_is_the_blob(blob: bytes, cuts: set[int]) -> None:
    ends = sorted({cut for cut in cuts if cut < len(blob)} | {0, len(blob)})
    chunks = tuple(
        Chunk(digest_of(blob[start:stop]), Span(start, stop)) for start, stop in pairwise(ends)
    )
    assert parse_chunksums(format_chunksums(chunks), len(blob)) == chunks
    assert b"".join(blob[each.span.start : each.span.stop] for each in chunks) == blob


@given(
    content=st.binary() | st.from_regex(rb"(sha256:[0-9a-f]{64} [0-9]-[0-9] ?)*"),
    size=st.integers(0, 20),
)
def test_any_bytes_are_a_cover_or_malformed(content: bytes, size: int) -> None:
    try:
        chunks = parse_chunksums(content, size)
    except ChunksumsMalformedError:
        return
    assert sum(each.span.size_bytes for each in chunks) == size


@given(blob=st.binary())
def test_the_whole_is_a_chunk_of_its_own(blob: bytes) -> None:
    chunks = whole(digest_of(blob), len(blob))
    assert parse_chunksums(format_chunksums(chunks), len(blob)) == chunks
    assert all(each.digest.encoded == hashlib.sha256(blob).hexdigest() for each in chunks)
