"""Which file system a path lies on, read from the kernel's own table of mounts.

Locks (flock) and memory maps of a file that another machine may change too are promises nobody
keeps: the store needs both, so it refuses to live there.
"""

import re
from pathlib import Path, PurePosixPath

from appliance.store.faults import StoreOnNetworkError

MOUNTINFO = Path("/proc/self/mountinfo")

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
        point = PurePosixPath(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
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
