"""What can break in the durable room. Each fault says what an operator can do about it.

Nothing here is an answer to a client: the rooms above decide what a broken store means for a pull.
"""

from pathlib import Path

from appliance.protocol.digest import Digest


class StoreError(Exception):
    """Something about the state directory is broken. `hint` is what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class StoreLockedError(StoreError):
    """Another process owns the store. `pid` is None where the lock file does not tell."""

    def __init__(self, path: Path, pid: int | None) -> None:
        who = "another process" if pid is None else f"process {pid}"
        stop = "the other box" if pid is None else f"it (kill {pid})"
        super().__init__(
            f"{who} already uses {path.parent}", f"stop {stop}, or set box.state_dir to another"
        )
        self.pid = pid


class StoreUnmarkedError(StoreError):
    """The marker does not say that this directory is the store it seems to be."""

    def __init__(self, root: Path, finding: str) -> None:
        super().__init__(
            f"{root} was used before, and {finding}",
            f"mount the disk that belongs at {root}; if these files are the right ones, bring back"
            f" {root / 'marker'} from a backup; to start anew, move {root} away",
        )


class DiskUnmountedError(StoreError):
    """The disk that the directory belongs on is not mounted: what lies there is not the store."""

    def __init__(self, root: Path, mount_point: Path, source: str) -> None:
        super().__init__(
            f"nothing is mounted at {mount_point}, where {source} has the disk of {root}",
            f"mount {mount_point}; if {root} is not to lie on a disk of its own, take that out of"
            f" {source}",
        )
        self.mount_point = mount_point


class StoreOnNetworkError(StoreError):
    """The state directory lies on a file system whose locks and maps cannot be relied upon."""

    def __init__(self, root: Path, file_system: str) -> None:
        super().__init__(
            f"{root} lies on a network file system ({file_system}): its locks and memory maps lie",
            "set box.state_dir to a directory on a local disk",
        )
        self.file_system = file_system


class StoreFullError(StoreError):
    """There is no room: `needed_bytes` were asked for, `free_bytes` may be had."""

    def __init__(self, root: Path, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"{root} has room for {free_bytes} bytes, and {needed_bytes} are needed",
            "free space on that disk, lower cache.min_free, or evict models that nobody pulls",
        )
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


class DigestMismatchError(StoreError):
    """All bytes came, and they are not the ones their digest names."""

    def __init__(self, digest: Digest, actual: Digest) -> None:
        super().__init__(
            f"expected {digest}, and the bytes are {actual}",
            "pull again; if it happens twice, check the memory and disk of this machine,"
            " and what stands between it and the Internet",
        )
        self.digest = digest
        self.actual = actual


class PendingClosedError(StoreError):
    """The pending blob was committed, cancelled or suspended, or its disk failed."""

    def __init__(self, digest: Digest, why: str) -> None:
        super().__init__(f"the pending blob of {digest} {why}", "begin it again")
        self.digest = digest


class EnvironmentDamagedError(StoreError):
    """An LMDB environment cannot be read."""

    def __init__(self, path: Path, finding: str) -> None:
        super().__init__(
            f"{path} is damaged ({finding})",
            f"restart the box: {path.name} is rebuilt from the files beside it",
        )
        self.path = path


class LedgerDamagedError(StoreError):
    """The ledger cannot be read, and nothing can rebuild it."""

    def __init__(self, path: Path, finding: str) -> None:
        super().__init__(
            f"the ledger {path} is damaged ({finding})",
            f"bring {path} back from a backup, or move it away to begin with empty totals;"
            " models and blobs are not affected",
        )
