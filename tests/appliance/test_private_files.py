"""Private files: who may read them, and that a secret stays what it was."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.private_files import (
    SECRET_SIZE_BYTES,
    SecretDamagedError,
    SecretMissingError,
    keep_private,
    open_secret,
    read_secret,
    sync_directory,
    write_private,
)


@pytest.fixture(autouse=True)
def _common_umask() -> Iterator[None]:
    """The umask of most systems, under which a plain `open` makes files that all may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_private_file_is_closed_from_its_first_moment(tmp_path: Path) -> None:
    os.umask(0)
    write_private(tmp_path / "key", b"secret")
    assert mode(tmp_path / "key") == 0o600


def test_a_secret_survives_restarts(tmp_path: Path) -> None:
    secret = open_secret(tmp_path / "secret")
    assert len(secret) == SECRET_SIZE_BYTES
    assert open_secret(tmp_path / "secret") == secret
    assert mode(tmp_path / "secret") == 0o600
    assert names(tmp_path) == ["secret"]


def test_no_two_boxes_share_a_secret(tmp_path: Path) -> None:
    assert open_secret(tmp_path / "a") != open_secret(tmp_path / "b")


def test_what_a_crash_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "secret.new").write_bytes(b"half")
    assert len(open_secret(tmp_path / "secret")) == SECRET_SIZE_BYTES
    assert names(tmp_path) == ["secret"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_what_is_no_secret_is_refused_and_kept(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SecretDamagedError) as caught:
        open_secret(path)
    assert str(path) in caught.value.hint
    assert path.read_bytes() == content


def test_a_secret_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * SECRET_SIZE_BYTES)
    open_secret(tmp_path / "secret")
    assert mode(tmp_path / "secret") == 0o600


def test_a_private_file_is_never_written_over(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"one")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "key", b"two")
    assert (tmp_path / "key").read_bytes() == b"one"


def test_what_is_private_already_is_left_alone(tmp_path: Path) -> None:
    write_private(tmp_path / "key", b"one")
    (tmp_path / "key").chmod(0o400)
    keep_private(tmp_path / "key", 0o600)
    assert mode(tmp_path / "key") == 0o400


def test_only_directories_are_synced_as_such(tmp_path: Path) -> None:
    sync_directory(tmp_path)
    with pytest.raises(NotADirectoryError):
        sync_directory(Path(__file__))


def test_a_secret_can_be_read_without_being_made(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match="No such file") as caught:
        read_secret(tmp_path / "secret")
    assert "start the box once" in caught.value.hint
    assert read_secret_after_making(tmp_path) == open_secret(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(SecretDamagedError):
        read_secret(tmp_path / "secret")


def read_secret_after_making(directory: Path) -> bytes:
    open_secret(directory / "secret")
    return read_secret(directory / "secret")
