"""Mounts: which file system a path lies on, from the kernel's own kind of table."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.store.faults import DiskUnmountedError, StoreOnNetworkError
from appliance.store.mounts import (
    find_file_system,
    find_mount_points,
    is_mounted,
    refuse_network,
    refuse_unmounted,
)

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /srv rw,relatime shared:7 master:2 - nfs4 nas:/export rw,vers=4.2
31 30 8:17 / /srv/disk rw,relatime - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/two\040words rw - cifs //nas/share rw
33 22 0:42 / /data rw - ext4 /dev/sdc1 rw
34 33 0:43 / /data rw - fuse.sshfs host:/ rw
35 22 0:44 / /host rw - 9p host rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/var/lib/box", "ext4", id="the root's, where nothing is mounted deeper"),
        pytest.param("/srv/box", "nfs4", id="under a mount"),
        pytest.param("/srv", "nfs4", id="the mount point itself"),
        pytest.param("/srvbox", "ext4", id="a name that merely begins like a mount point"),
        pytest.param("/srv/disk/box", "xfs", id="a disk mounted over the network's"),
        pytest.param("/mnt/two words/box", "cifs", id="an escaped space"),
        pytest.param("/data/box", "fuse.sshfs", id="the later of two in one place"),
    ],
)
def test_the_deepest_and_latest_mount_wins(path: str, kind: str) -> None:
    assert find_file_system(PurePosixPath(path), TABLE) == kind


@given(st.text())
def test_any_table_gives_an_answer(table: str) -> None:
    find_file_system(PurePosixPath("/a"), table)


def test_a_network_file_system_is_refused_by_name(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 1 0:1 / {tmp_path} rw - nfs4 nas:/ rw\n")
    with pytest.raises(StoreOnNetworkError) as caught:
        refuse_network(tmp_path / "state", table)
    assert caught.value.file_system == "nfs4"


def test_a_link_to_a_network_file_system_is_refused(tmp_path: Path) -> None:
    table, there = tmp_path / "mountinfo", tmp_path / "there"
    there.mkdir()
    (tmp_path / "link").symlink_to(there)
    table.write_text(f"1 1 0:1 / {there} rw - cifs //nas/x rw\n")
    with pytest.raises(StoreOnNetworkError):
        refuse_network(tmp_path / "link", table)


def test_a_local_one_is_taken_and_so_is_one_nothing_is_known_of(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    refuse_network(tmp_path, table)
    table.write_text("1 1 0:1 / / rw - ext4 /dev/sda rw\n")
    refuse_network(tmp_path, table)


FSTAB = r"""
# <file system> <mount point> <type> <options> <dump> <pass>
#/dev/sdz1 /commented/out ext4 defaults 0 0
UUID=1 / ext4 errors=remount-ro 0 1
UUID=2 none swap sw 0 0
UUID=3 /srv/two\040words xfs defaults,nofail 0 2
/srv/here /srv/there none bind 0 0
half a
"""


def test_what_fstab_mounts_is_read_with_its_spaces_and_without_what_is_no_disk() -> None:
    assert list(find_mount_points(FSTAB)) == [PurePosixPath("/srv/two words")]


@given(st.text())
def test_any_fstab_gives_an_answer(text: str) -> None:
    list(find_mount_points(text))


@pytest.fixture
def fstab(tmp_path: Path) -> Path:
    file = tmp_path / "fstab"
    file.write_text(f"UUID=4 {tmp_path}/disk ext4 nofail 0 2\n")
    return file


@pytest.mark.parametrize("place", ["disk", "disk/state"])
def test_a_disk_that_fstab_names_and_that_is_not_there_is_missed(
    tmp_path: Path, fstab: Path, place: str
) -> None:
    (tmp_path / "disk").mkdir()
    with pytest.raises(DiskUnmountedError, match="nothing is mounted at") as caught:
        refuse_unmounted(tmp_path / place, None, fstab)
    assert str(fstab) in str(caught.value)
    assert str(tmp_path / "disk") in caught.value.hint


def test_what_lies_beside_a_missing_disk_is_not_concerned(tmp_path: Path, fstab: Path) -> None:
    refuse_unmounted(tmp_path / "disk2", None, fstab)
    refuse_unmounted(tmp_path / "state", None, tmp_path / "no fstab")


def test_the_operators_word_goes_before_fstab(tmp_path: Path, fstab: Path) -> None:
    with pytest.raises(DiskUnmountedError, match="mount_point") as caught:
        refuse_unmounted(tmp_path / "state", tmp_path, tmp_path / "no fstab")
    assert caught.value.mount_point == tmp_path
    refuse_unmounted(tmp_path / "disk", Path("/proc"), fstab)


def test_a_mount_point_is_one_only_while_something_is_mounted(tmp_path: Path) -> None:
    assert is_mounted(Path("/proc"))
    assert not is_mounted(tmp_path)
    assert not is_mounted(tmp_path / "nowhere")
