"""The lock: one at a time, and the holder is named."""

import os
from pathlib import Path

import pytest

from appliance.store.disk import Disk
from appliance.store.faults import StoreLockedError
from appliance.store.lock import take_lock


def test_a_second_taker_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    fd = take_lock(tmp_path / "lock", Disk())
    try:
        with pytest.raises(StoreLockedError) as caught:
            take_lock(tmp_path / "lock", Disk())
    finally:
        os.close(fd)
    assert caught.value.pid == os.getpid()


def test_a_lock_ends_with_its_descriptor(tmp_path: Path) -> None:
    os.close(take_lock(tmp_path / "lock", Disk()))
    os.close(take_lock(tmp_path / "lock", Disk()))


def test_a_lock_file_left_behind_means_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("999999999999")
    os.close(take_lock(tmp_path / "lock", Disk()))
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_holder_that_wrote_no_pid_is_unknown(tmp_path: Path) -> None:
    fd = take_lock(tmp_path / "lock", Disk())
    os.ftruncate(fd, 0)
    try:
        with pytest.raises(StoreLockedError) as caught:
            take_lock(tmp_path / "lock", Disk())
    finally:
        os.close(fd)
    assert caught.value.pid is None
