"""The seam: modes, whole files or none, and errors that pass."""

import errno
import os
import stat
from pathlib import Path

import pytest

from appliance.store.disk import Disk, write_whole
from tests.fakes.disk import FailingDisk


def test_files_and_directories_are_ours_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert Disk().make_directory(tmp_path / "a" / "b", parents=True)
        os.close(Disk().open_new(tmp_path / "file"))
        os.close(Disk().open_lock(tmp_path / "lock"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_nothing_is_made_where_a_disk_was_taken_away(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Disk().make_directory(tmp_path / "blobs" / "ab")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_is_not_made(tmp_path: Path) -> None:
    assert not Disk().make_directory(tmp_path)


def test_a_new_file_never_opens_an_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        Disk().open_new(tmp_path / "file")


def test_a_link_is_not_followed_for_writing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"keep")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic"):
        Disk().open_again(tmp_path / "link")


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, chunk, offset: whole(fd, chunk[:3], offset))
    fd = Disk().open_new(tmp_path / "file")
    Disk().write_at(fd, memoryview(b"0123456789"), 5)
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == b"\0" * 5 + b"0123456789"


def test_the_stamp_says_the_very_instant(tmp_path: Path) -> None:
    fd = Disk().open_new(tmp_path / "file")
    Disk().stamp(fd, 1_700_000_000.123456)
    os.close(fd)
    assert (tmp_path / "file").stat().st_mtime_ns / 10**9 == pytest.approx(1_700_000_000.123456)


def test_removing_says_whether_there_was_something(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Disk().remove(tmp_path / "file")
    assert not Disk().remove(tmp_path / "file")


def test_free_space_is_what_the_system_says(tmp_path: Path) -> None:
    system = os.statvfs(tmp_path)
    total_bytes = system.f_blocks * system.f_frsize
    assert 0 <= Disk().free_bytes(tmp_path) <= total_bytes


@pytest.mark.parametrize("operation", ["write_at", "sync_data", "rename"])
def test_a_file_is_put_whole_or_not_at_all(tmp_path: Path, operation: str) -> None:
    disk, path, draft = FailingDisk(), tmp_path / "file", tmp_path / "draft"
    write_whole(disk, path, b"old", draft=draft)
    disk.fail(operation, errno.ENOSPC)
    with pytest.raises(OSError, match="space"):
        write_whole(disk, path, b"newer", draft=draft)
    assert path.read_bytes() == b"old"
    assert not draft.exists()
    disk.heal()
    write_whole(disk, path, b"newer", draft=draft)
    assert path.read_bytes() == b"newer"
