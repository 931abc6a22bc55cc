"""The lock that makes one process the store's only writer.

An flock: the kernel lets go of it when its holder dies, however that happens, so a lock file left
behind never means anything. The file stays when the box stops; removing it would let two processes
hold locks on two files of one name.
"""

import fcntl
import os
from pathlib import Path

from appliance.store.disk import Disk
from appliance.store.faults import StoreLockedError


def take_lock(path: Path, disk: Disk) -> int:
    """Lock `path` and write our pid into it; the lock lasts until the descriptor is closed.

    Raises:
        StoreLockedError: somebody else holds it.
    """
    fd = disk.open_lock(path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 32, 0)
        os.close(fd)
        raise StoreLockedError(path, _parse_pid(holder)) from error
    disk.resize(fd, 0)
    disk.write_at(fd, memoryview(f"{os.getpid()}\n".encode()), 0)
    return fd


def _parse_pid(content: bytes) -> int | None:
    digits = content.strip()
    return int(digits) if digits.isdigit() else None
