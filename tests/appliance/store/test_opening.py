"""The way in: each check refuses what it is there for, and leaves nothing open behind it."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from appliance.store.faults import (
    DiskUnmountedError,
    LedgerDamagedError,
    StoreLockedError,
    StoreOnNetworkError,
    StoreUnmarkedError,
)
from appliance.store.layout import Layout
from appliance.store.store import open_store
from tests.appliance.store.samples import CONTENT, store_blob


def everything_in(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def test_a_new_store_has_nothing_to_tell(root: Path) -> None:
    with open_store(root) as store:
        assert store.recovery == ()
        assert store.is_present()


def test_everything_made_is_ours_alone(root: Path) -> None:
    before = os.umask(0o022)
    try:
        with open_store(root) as store:
            store_blob(store, CONTENT)
    finally:
        os.umask(before)
    for path in (root, *root.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_second_one_is_refused_and_told_the_first_ones_pid(root: Path) -> None:
    with open_store(root):
        with pytest.raises(StoreLockedError) as caught:
            open_store(root)
        assert caught.value.pid == os.getpid()
    open_store(root).close()


def test_a_store_whose_marker_went_is_refused(root: Path) -> None:
    open_store(root).close()
    (root / "marker").unlink()
    before = everything_in(root)
    for _ in range(2):
        with pytest.raises(StoreUnmarkedError, match="missing"):
            open_store(root)
    assert everything_in(root) == before


def test_nothing_is_made_where_the_disk_of_a_new_store_is_missing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstab = root.parent / "fstab"
    fstab.write_text(f"UUID=1 {root} ext4 nofail 0 2\n")
    monkeypatch.setattr("appliance.store.mounts.refuse_unmounted.__defaults__", (fstab,))
    with pytest.raises(DiskUnmountedError):
        open_store(root)
    assert not root.exists()


def test_a_store_that_has_its_marker_is_opened_whatever_fstab_says(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(root).close()
    fstab = root.parent / "fstab"
    fstab.write_text(f"UUID=1 {root} ext4 nofail 0 2\n")
    monkeypatch.setattr("appliance.store.mounts.refuse_unmounted.__defaults__", (fstab,))
    open_store(root).close()


def test_where_the_operator_names_the_disk_a_store_below_its_mount_point_is_none(
    root: Path,
) -> None:
    open_store(root).close()
    with pytest.raises(DiskUnmountedError, match=r"box\.mount_point"):
        open_store(root, mount_point=root)


def test_another_stores_marker_is_refused(root: Path, tmp_path: Path) -> None:
    open_store(root).close()
    open_store(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "marker", root / "marker")
    with pytest.raises(StoreUnmarkedError, match="another store"):
        open_store(root)


def test_a_network_file_system_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = root.parent / "mountinfo"
    table.write_text("1 1 0:1 / / rw - nfs nas:/ rw\n")
    monkeypatch.setattr("appliance.store.mounts.refuse_network.__defaults__", (table,))
    with pytest.raises(StoreOnNetworkError):
        open_store(root)
    assert not (root / "marker").exists()


def test_a_directory_that_is_moved_away_is_noticed(root: Path) -> None:
    with open_store(root) as store:
        root.rename(root.with_name("away"))
        assert not store.is_present()
        root.mkdir()
        assert not store.is_present()
        root.rmdir()
        root.with_name("away").rename(root)
        assert store.is_present()


def test_a_lost_ledger_is_told(root: Path) -> None:
    open_store(root).close()
    shutil.rmtree(root / "ledger")
    with open_store(root) as store:
        assert any("new ledger" in sentence for sentence in store.recovery)


def test_a_damaged_ledger_stops_the_start_until_it_is_moved_away(root: Path) -> None:
    with open_store(root) as store:
        record = store_blob(store, CONTENT)
    (root / "ledger" / "data.mdb").write_bytes(b"no database")
    with pytest.raises(LedgerDamagedError):
        open_store(root)
    (root / "ledger").rename(root / "ledger.away")
    with open_store(root) as store:
        assert store.find_blob(record.digest) == record


@pytest.mark.parametrize("damage", ["garbage", "truncated", "emptied", "removed"])
def test_an_index_that_cannot_be_read_is_rebuilt(root: Path, damage: str) -> None:
    with open_store(root) as store:
        record = store_blob(store, CONTENT)
    data = root / "index" / "data.mdb"
    match damage:
        case "garbage":
            data.write_bytes(os.urandom(50_000))
        case "truncated":
            os.truncate(data, 3 * 4096)
        case "emptied":
            os.truncate(data, 0)
        case "removed":
            shutil.rmtree(data.parent)
    with open_store(root) as store:
        found = store.find_blob(record.digest)
        assert found is not None
        assert found.size_bytes == record.size_bytes
        assert "Rebuilt the index from the files: 1 blobs, 0 tags." in store.recovery
        assert store.verify().problems == ()
    with open_store(root) as store:
        assert store.recovery == ()


def test_an_index_that_killed_an_earlier_start_is_not_read_again(root: Path) -> None:
    with open_store(root) as store:
        store_blob(store, CONTENT)
    Layout(root).index_opening.touch()
    with open_store(root) as store:
        assert any("died while reading" in sentence for sentence in store.recovery)
        assert store.stats().blob_count == 1
    assert Layout(root).index_damaged.is_dir()
    assert not Layout(root).index_opening.exists()


def test_only_the_last_damaged_index_is_kept(root: Path) -> None:
    for _ in range(2):
        open_store(root).close()
        (root / "index" / "data.mdb").write_bytes(b"no database")
        open_store(root).close()
    assert sorted(path.name for path in root.glob("index*")) == ["index", "index.damaged"]
