"""Hashing: fed in any order, the digest is that of the bytes."""

import os
import zlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.protocol.digest import digest_of
from appliance.store.hashing import CHUNK_SIZE_BYTES, PrefixHash, hash_file
from appliance.store.records import CHECKED_SPAN_BYTES as SPAN
from appliance.store.records import Checksums

CONTENT = os.urandom(1009) * (2 * SPAN // 1009)


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    for content in (b"", b"x", bytes(CHUNK_SIZE_BYTES), bytes(CHUNK_SIZE_BYTES * 2 + 1)):
        (tmp_path / "file").write_bytes(content)
        assert hash_file(tmp_path / "file").digest() == digest_of(content)


def test_a_file_shorter_than_promised_ends_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"short")
    with (tmp_path / "file").open("rb") as file:
        prefix = PrefixHash()
        prefix.catch_up(file.fileno(), 100)
    assert (prefix.position, prefix.digest()) == (5, digest_of(b"short"))


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=9), st.randoms())
def test_feeding_in_any_order_and_catching_up_hashes_the_whole(chunks, random) -> None:  # type: ignore[no-untyped-def]
    content = b"".join(chunks)
    offsets = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
    pieces = list(zip(offsets, chunks, strict=True))
    random.shuffle(pieces)
    prefix = PrefixHash()
    for offset, chunk in pieces:
        prefix.feed(offset, memoryview(chunk))
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        prefix.catch_up(fd, len(content))
    finally:
        os.close(fd)
    assert prefix.digest() == digest_of(content)


def test_what_was_fed_in_order_is_not_read_back() -> None:
    prefix = PrefixHash()
    prefix.feed(0, memoryview(b"abc"))
    prefix.catch_up(-1, 3)  # No descriptor at all: there is nothing to read.
    assert prefix.digest() == digest_of(b"abc")


@given(st.lists(st.integers(1, 3 * SPAN), max_size=5))
@settings(max_examples=20)
def test_checksums_are_those_of_each_span_however_it_was_cut(sizes: list[int]) -> None:
    content = memoryview(CONTENT)
    prefix, position = PrefixHash(), 0
    for size in sizes:
        prefix.feed(position, content[position : position + size])
        position = prefix.position
    spans = [content[start : min(start + SPAN, position)] for start in range(0, position, SPAN)]
    assert prefix.checksums() == Checksums(position, tuple(map(zlib.crc32, spans)))


def test_who_waits_for_a_file_hears_of_every_byte_once(tmp_path: Path) -> None:
    size_bytes = 2 * SPAN + 5
    with (tmp_path / "file").open("wb") as file:
        file.truncate(size_bytes)
    heard: list[int] = []
    hashed = hash_file(tmp_path / "file", heard.append)
    assert heard == [SPAN, SPAN, 5]
    assert hashed.position == size_bytes
