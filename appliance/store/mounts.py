"""Which file system a path lies on, and whether that is the one that belongs there.

Locks (flock) and memory maps of a file that another machine may change too are promises nobody
keeps: the store needs both, so it refuses to live there.

A mount point whose disk is missing looks like a directory that was never used. What tells is what
the system itself says of it: /etc/fstab, or the operator. Whether something is mounted is asked of
the file system's number and not of the table of mounts: a service that is let write to a directory
only sees it bound over itself.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from appliance.store.faults import DiskUnmountedError, StoreOnNetworkError

MOUNTINFO = Path("/proc/self/mountinfo")
FSTAB = Path("/etc/fstab")

NETWORK_FILE_SYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "ncpfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
    }
)

_OCTAL = re.compile(r"\\([0-7]{3})")


def find_file_system(path: PurePosixPath, mountinfo: str) -> str | None:
    """The type of the file system under the absolute `path`, or None where the table is silent.

    `mountinfo` is proc(5)'s: the deepest mount point that holds the path wins, and of two at the
    same place the later, which covers the earlier.
    """
    depth, found = -1, None
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.partition(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        point = PurePosixPath(_unescape(fields[4]))
        if path.is_relative_to(point) and len(point.parts) >= depth:
            depth, found = len(point.parts), kind
    return found


def refuse_network(root: Path, mountinfo: Path = MOUNTINFO) -> None:
    """Raise StoreOnNetworkError where `root` lies on another machine's disk."""
    try:
        table = mountinfo.read_text("utf-8", errors="replace")
    except FileNotFoundError:  # No /proc in this jail: then there is nothing to go by.
        return
    kind = find_file_system(PurePosixPath(root.resolve()), table)
    if kind in NETWORK_FILE_SYSTEMS:
        raise StoreOnNetworkError(root, kind)


def find_mount_points(fstab: str) -> Iterator[PurePosixPath]:
    """The directories at which an fstab(5) mounts a file system of its own; not the root's."""
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) < 4 or fields[0].startswith("#") or not fields[1].startswith("/"):
            continue
        point = PurePosixPath(_unescape(fields[1]))
        if point.parent != point and not {"bind", "rbind"} & set(fields[3].split(",")):
            yield point


def refuse_unmounted(root: Path, mount_point: Path | None, fstab: Path = FSTAB) -> None:
    """Raise DiskUnmountedError where the disk that `root` belongs on is not mounted.

    `mount_point` is the operator's word, and holds in any case; without it `fstab` is asked.
    """
    if mount_point is not None:
        if not is_mounted(mount_point):
            raise DiskUnmountedError(root, mount_point, "box.mount_point")
        return
    try:
        table = fstab.read_text("utf-8", errors="replace")
    except OSError:  # A container has none; a jail may hide it.
        return
    place = PurePosixPath(root.resolve())
    for point in map(Path, find_mount_points(table)):
        if place.is_relative_to(point) and not is_mounted(point):
            raise DiskUnmountedError(root, point, str(fstab))


def is_mounted(point: Path) -> bool:
    """Whether another file system begins at `point`."""
    try:
        return point.stat().st_dev != point.parent.stat().st_dev
    except OSError:
        return False


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
