"""The one seam through which this room changes the disk, so that tests can break or cut it.

Everything that writes, renames, removes or syncs goes through a `Disk`; reading does not. Modes are
given outright (0600, 0700) rather than left to the umask, which belongs to the whole process.
LMDB writes its own two directories itself.
"""

import contextlib
import os
from fractions import Fraction
from pathlib import Path

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
# For larger ones ext4 looks for larger folios, which are seldom warm: in a virtual machine to touch
# them for the first time may cost ten times the copy (bench/README.md).
PWRITE_SIZE_BYTES = 64 * 1024


class Disk:
    """The real one. All methods block; all raise OSError."""

    def make_directory(self, path: Path, *, parents: bool = False) -> bool:
        """Make `path`; say whether it was missing.

        What is missing above it is made with `parents` only: where a disk was taken away, nothing
        is to be made below its mount point.
        """
        try:
            path.mkdir(mode=DIRECTORY_MODE, parents=parents)
        except FileExistsError:
            return False
        return True

    def open_new(self, path: Path) -> int:
        """Create `path`, which must not exist; the caller closes."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)

    def open_again(self, path: Path) -> int:
        """Open `path`, which must exist, for reading and writing; the caller closes."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)

    def open_lock(self, path: Path) -> int:
        """Open or create `path`; the caller closes."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)

    def write_at(self, fd: int, chunk: memoryview, offset: int) -> None:
        """Write all of `chunk`. What an error leaves of it is not told."""
        while chunk:
            written = os.pwrite(fd, chunk[:PWRITE_SIZE_BYTES], offset)
            chunk, offset = chunk[written:], offset + written

    def resize(self, fd: int, size_bytes: int) -> None:
        os.ftruncate(fd, size_bytes)

    def stamp(self, fd: int, at: float) -> None:
        """Set the file's modification time to the instant `at`."""
        nanoseconds = round(Fraction(at) * 10**9)
        os.utime(fd, ns=(nanoseconds, nanoseconds))

    def sync_data(self, fd: int) -> None:
        """Make the bytes written so far survive a power cut."""
        os.fdatasync(fd)

    def sync(self, fd: int) -> None:
        """The same, with the file's times."""
        os.fsync(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Move `source` over `target`: atomic, and durable once target's directory is synced."""
        source.replace(target)

    def remove(self, path: Path) -> bool:
        """Remove the file `path`; False where there is none."""
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def sync_directory(self, path: Path) -> None:
        """Make the names in `path` survive a power cut."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: Path) -> int:
        """What an unprivileged process may still write to the file system of `path`."""
        system = os.statvfs(path)
        return system.f_bavail * system.f_frsize


def write_whole(disk: Disk, path: Path, content: bytes, *, draft: Path) -> None:
    """Put `content` at `path`, durably: after a power cut either all of it is there or none.

    `draft` is a path on the same file system that nobody else uses.
    """
    try:
        fd = disk.open_new(draft)
        try:
            disk.write_at(fd, memoryview(content), 0)
            disk.sync_data(fd)
        finally:
            os.close(fd)
        disk.rename(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            disk.remove(draft)
        raise
    disk.sync_directory(path.parent)
