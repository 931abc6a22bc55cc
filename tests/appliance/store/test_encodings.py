"""Encodings: what is written is read, and anything else is absent, never an error."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.policy.delivery import Delivery
from appliance.policy.learning import Subject
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store import encodings
from appliance.store.records import (
    CHECKED_SPAN_BYTES,
    BlobRecord,
    Checksums,
    ManifestRecord,
    PendingNote,
    Pulls,
    ScrubMark,
    TagMove,
    TagRecord,
    TokenRecord,
)
from tests.appliance.store.samples import LATEST, TINY, tag_of

SIZES = st.integers(0, 2**42)
INSTANTS = st.floats(0, 4e9)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda raw: Digest(raw.hex()))
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", fullmatch=True)
REPOSITORIES = st.builds(Repository, NAMES, NAMES)
VERSIONS = st.tuples(*[st.integers(0, 999)] * 3)
TAGS = st.builds(
    TagRecord,
    st.builds(Reference, REPOSITORIES, NAMES | DIGESTS),
    *(st.text(), DIGESTS, SIZES, st.text(), st.none() | VERSIONS, INSTANTS, INSTANTS),
)
SPANS = st.lists(
    st.tuples(st.integers(0, 99), st.integers(1, 99)).map(lambda pair: Span(pair[0], sum(pair)))
)


def checksums_of(size_bytes: int, seed: int) -> Checksums:
    count = -(-size_bytes // CHECKED_SPAN_BYTES)
    return Checksums(size_bytes, tuple((seed * number) % 2**32 for number in range(count)))


@given(st.integers(0, 40 * CHECKED_SPAN_BYTES), st.integers(0, 2**32))
def test_checksums(size_bytes: int, seed: int) -> None:
    checksums = checksums_of(size_bytes, seed)
    assert encodings.decode_checksums(encodings.encode_checksums(checksums)) == checksums


@given(st.integers(0, 40 * CHECKED_SPAN_BYTES), st.data())
def test_checksums_with_one_wrong_bit_are_none(size_bytes: int, data: st.DataObject) -> None:
    content = bytearray(encodings.encode_checksums(checksums_of(size_bytes, 77)))
    bit = data.draw(st.integers(0, len(content) * 8 - 1))
    content[bit // 8] ^= 1 << bit % 8
    assert encodings.decode_checksums(bytes(content)) is None


@given(st.builds(BlobRecord, DIGESTS, SIZES, INSTANTS))
def test_blobs(record: BlobRecord) -> None:
    content = encodings.encode_blob(record)
    assert encodings.decode_blob(record.digest, content) == record
    assert encodings.decode_blob_size(content) == record.size_bytes
    assert encodings.decode_blob_size(content[1:]) == 0


@given(st.integers(0, 2**63))
def test_counts(count: int) -> None:
    assert encodings.decode_size(encodings.encode_size(count)) == count


@given(st.builds(Pulls, INSTANTS, st.integers(0, 2**63)))
def test_pulls(pulls: Pulls) -> None:
    assert encodings.decode_pulls(encodings.encode_pulls(pulls)) == pulls


@given(INSTANTS, INSTANTS, DIGESTS, SIZES)
def test_marks(began_at: float, checked_at: float, digest: Digest, offset: int) -> None:
    mark = ScrubMark(began_at, checked_at, digest, offset)
    assert encodings.decode_mark(encodings.encode_mark(mark)) == mark


@given(
    st.ip_addresses().map(str), st.none() | VERSIONS, st.sampled_from(Delivery), st.floats(0, 4e9)
)
def test_lessons(
    address: str, version: tuple[int, int, int] | None, delivery: Delivery, learnt_at: float
) -> None:
    subject = Subject(address, version, delivery)
    assert encodings.decode_lesson(*encodings.encode_lesson(subject, learnt_at)) == (
        subject,
        learnt_at,
    )


@given(st.binary(), st.binary() | st.binary(min_size=8, max_size=8).map(b"\1".__add__))
def test_what_is_no_lesson_is_absent(key: bytes, content: bytes) -> None:
    found = encodings.decode_lesson(key, content)
    assert found is None or encodings.encode_lesson(*found)[0] == key


@given(st.builds(TokenRecord, *[st.text()] * 3, *[st.integers(0, 2**40)] * 2, st.booleans()))
def test_tokens(record: TokenRecord) -> None:
    assert encodings.decode_token(record.token_id, encodings.encode_token(record)) == record


@given(TAGS)
def test_tags(record: TagRecord) -> None:
    assert encodings.decode_tag(encodings.encode_tag(record)) == record


@given(TAGS)
def test_a_tag_file_tells_all_but_when_it_was_checked(record: TagRecord) -> None:
    content = encodings.encode_tag_file(record)
    assert encodings.decode_tag_file(content, record.checked_at) == record
    unchecked = encodings.decode_tag_file(content)
    assert unchecked is not None
    assert unchecked.checked_at == 0


@given(
    st.builds(
        ManifestRecord,
        *(REPOSITORIES, DIGESTS, SIZES),
        st.lists(st.tuples(DIGESTS, SIZES)).map(tuple),
    )
)
def test_manifests(record: ManifestRecord) -> None:
    assert encodings.decode_manifest(encodings.encode_manifest(record)) == record


@given(DIGESTS, REPOSITORIES, SPANS)
def test_pending_notes(digest: Digest, repository: Repository, spans: list[Span]) -> None:
    note = PendingNote(digest, repository, 198, SpanSet(spans))
    assert encodings.decode_pending(encodings.encode_pending(note)) == note


@given(DIGESTS, DIGESTS, INSTANTS)
def test_moves(old: Digest, new: Digest, moved_at: float) -> None:
    move = TagMove(LATEST, old, new, moved_at)
    assert encodings.decode_move(LATEST, encodings.encode_move(move)) == move


DECODERS: dict[str, Callable[[bytes], object]] = {
    "checksums": encodings.decode_checksums,
    "blob": lambda content: encodings.decode_blob(digest_of(b""), content),
    "size": encodings.decode_size,
    "pulls": encodings.decode_pulls,
    "mark": encodings.decode_mark,
    "tag": encodings.decode_tag,
    "tag file": encodings.decode_tag_file,
    "manifest": encodings.decode_manifest,
    "pending": encodings.decode_pending,
    "move": lambda content: encodings.decode_move(LATEST, content),
}


@pytest.mark.parametrize("decode", DECODERS.values(), ids=DECODERS)
@given(content=st.binary() | st.from_regex(rb'\{"version": 1, "[a-z]+": [0-9\[\]"]*\}'))
def test_any_bytes_are_a_record_or_absent(
    decode: Callable[[bytes], object], content: bytes
) -> None:
    decode(content)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists
)


@settings(max_examples=max(40, settings().max_examples // 3))
@given(st.data())
def test_a_note_with_one_wrong_value_is_a_record_or_absent(data: st.DataObject) -> None:
    tag = tag_of(b"{}")
    note = PendingNote(tag.digest, TINY, 10, SpanSet([Span(0, 5)]))
    for content, decode in (
        (encodings.encode_tag_file(tag), DECODERS["tag file"]),
        (encodings.encode_pending(note), DECODERS["pending"]),
    ):
        document = json.loads(content)
        document[data.draw(st.sampled_from(sorted(document)))] = data.draw(JSON_VALUES)
        decode(json.dumps(document).encode())


def test_another_version_is_absent() -> None:
    for content in (encodings.encode_size(1), encodings.encode_pulls(Pulls(1.0, 1))):
        newer = bytes([encodings.VERSION + 1]) + content[1:]
        assert encodings.decode_size(newer) is None
        assert encodings.decode_pulls(newer) is None
    note = encodings.encode_tag_file(tag_of(b"{}")).replace(b'"version": 1', b'"version": 2')
    assert encodings.decode_tag_file(note) is None


def test_a_span_beyond_the_blob_is_no_note() -> None:
    note = PendingNote(digest_of(b""), TINY, 10, SpanSet([Span(0, 11)]))
    assert encodings.decode_pending(encodings.encode_pending(note)) is None
