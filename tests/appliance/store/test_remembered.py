"""Manifests in memory: the file's own content, or nothing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import digest_of
from appliance.store.remembered import Remembered, identify


def keep(remembered: Remembered, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    remembered.keep(digest_of(content), identify(path.stat()), content)


def test_what_was_kept_is_found(tmp_path: Path) -> None:
    remembered, path = Remembered(), tmp_path / "one"
    keep(remembered, path, b"one")
    assert remembered.find(digest_of(b"one"), path) == b"one"
    assert remembered.find(digest_of(b"two"), path) is None


@pytest.mark.parametrize("change", ["gone", "longer", "another", "touched"])
def test_a_file_that_is_not_the_same_any_more_is_read_anew(tmp_path: Path, change: str) -> None:
    remembered, path = Remembered(), tmp_path / "one"
    keep(remembered, path, b"one")
    match change:
        case "gone":
            path.unlink()
        case "longer":
            path.write_bytes(b"one!")
        case "another":
            (tmp_path / "new").write_bytes(b"two")
            (tmp_path / "new").rename(path)
        case "touched":
            os.utime(path, ns=(1, 1))
    assert remembered.find(digest_of(b"one"), path) is None
    path.write_bytes(b"one")
    assert remembered.find(digest_of(b"one"), path) is None


def test_what_was_asked_for_last_is_kept_longest(tmp_path: Path) -> None:
    remembered = Remembered(size_bytes_max=10)
    for name in ("aaaa", "bbbb"):
        keep(remembered, tmp_path / name, name.encode())
    assert remembered.find(digest_of(b"aaaa"), tmp_path / "aaaa")
    keep(remembered, tmp_path / "cccc", b"cccc")
    found = [remembered.find(digest_of(n.encode()), tmp_path / n) for n in ("aaaa", "bbbb", "cccc")]
    assert found == [b"aaaa", None, b"cccc"]


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    remembered = Remembered(size_bytes_max=3)
    keep(remembered, tmp_path / "four", b"four")
    assert remembered.find(digest_of(b"four"), tmp_path / "four") is None


@given(st.lists(st.binary(max_size=30), max_size=30))
def test_it_never_holds_more_than_it_may(contents: list[bytes]) -> None:
    remembered = Remembered(size_bytes_max=50)
    for content in contents:
        remembered.keep(digest_of(content), (0, 0, 0), content)
        held = sum(len(kept) for _, kept in remembered._held.values())
        assert held == remembered._size_bytes <= 50
