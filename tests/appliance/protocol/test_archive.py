"""Archives in pieces against Python's own tarfile."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.archive import Archive, Member, lay_out
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.ranges import Span

NAMES = st.text("abcdefgh0123456789-_/", min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/")
)
FILES = st.dictionaries(NAMES, st.binary(max_size=2000), max_size=4)
NOON = 1_700_000_000


def members(files: dict[str, bytes]) -> list[Member]:
    """Every other one is a blob."""
    return [
        Member(name, content if number % 2 else digest_of(content), len(content))
        for number, (name, content) in enumerate(files.items())
    ]


def render(archive: Archive, span: Span, files: dict[str, bytes]) -> bytes:
    blobs = {digest_of(content): content for content in files.values()}
    return b"".join(
        (blobs[each.content] if isinstance(each.content, Digest) else each.content)[
            each.span.start : each.span.stop
        ]
        for each in archive.parts(span)
    )


def build(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), NOON
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


@given(FILES)
def test_the_pieces_are_what_tarfile_builds(files: dict[str, bytes]) -> None:
    archive = lay_out(members(files), NOON)
    built = build(files)
    assert archive.size_bytes == len(built)
    assert render(archive, Span(0, archive.size_bytes), files) == built


@given(FILES, st.data())
def test_any_span_is_that_span_of_the_whole(files: dict[str, bytes], data: st.DataObject) -> None:
    archive = lay_out(members(files), NOON)
    start = data.draw(st.integers(0, archive.size_bytes - 1))
    stop = data.draw(st.integers(start + 1, archive.size_bytes))
    assert render(archive, Span(start, stop), files) == build(files)[start:stop]


@pytest.mark.parametrize("size_bytes", [8 * 2**30, 2**42])
def test_a_file_of_any_size_has_its_size_said(size_bytes: int) -> None:
    archive = lay_out([Member("large", digest_of(b"x"), size_bytes)], NOON)
    (_, header, _) = archive.pieces[0]
    assert isinstance(header, bytes)
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size_bytes
    assert archive.size_bytes >= size_bytes + len(header) + 1024
