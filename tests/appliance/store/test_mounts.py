"""Mounts: which file system a path lies on, from the kernel's own kind of table."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.store.faults import StoreOnNetworkError
from appliance.store.mounts import find_file_system, refuse_network

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
