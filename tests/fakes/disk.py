"""Disks that fail on cue, and one that forgets what was not synced."""

import os
import shutil
from pathlib import Path

from appliance.store.disk import Disk

DIRECTORY = -1  # In place of an inode's number: contents of directories are names of their own.


class ObservedDisk(Disk):
    """Has `on_call` look at every change before it is made."""

    def on_call(self, operation: str) -> None:
        """Called with the operation's name; what it raises the operation raises."""

    def make_directory(self, path: Path, *, parents: bool = False) -> bool:
        self.on_call("make_directory")
        return super().make_directory(path, parents=parents)

    def open_new(self, path: Path) -> int:
        self.on_call("open_new")
        return super().open_new(path)

    def open_again(self, path: Path) -> int:
        self.on_call("open_again")
        return super().open_again(path)

    def write_at(self, fd: int, chunk: memoryview, offset: int) -> None:
        self.on_call("write_at")
        super().write_at(fd, chunk, offset)

    def resize(self, fd: int, size_bytes: int) -> None:
        self.on_call("resize")
        super().resize(fd, size_bytes)

    def stamp(self, fd: int, at: float) -> None:
        self.on_call("stamp")
        super().stamp(fd, at)

    def sync_data(self, fd: int) -> None:
        self.on_call("sync_data")
        super().sync_data(fd)

    def sync(self, fd: int) -> None:
        self.on_call("sync")
        super().sync(fd)

    def rename(self, source: Path, target: Path) -> None:
        self.on_call("rename")
        super().rename(source, target)

    def remove(self, path: Path) -> bool:
        self.on_call("remove")
        return super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self.on_call("sync_directory")
        super().sync_directory(path)


class FailingDisk(ObservedDisk):
    """Fails the named operation with an errno once it was called a number of times before.

    A failing `write_at` writes half of its chunk first, as real ones do.
    """

    def __init__(self) -> None:
        self.free: int | None = None
        self._cues: dict[str, tuple[int, int]] = {}
        self._is_passing = False

    def fail(
        self, operation: str, number: int, *, after: int = 0, is_passing: bool = False
    ) -> None:
        """Fail it from then on; or once, where that is passing."""
        self._cues[operation] = (after, number)
        self._is_passing = is_passing

    def heal(self) -> None:
        self._cues.clear()

    def on_call(self, operation: str) -> None:
        if operation not in self._cues:
            return
        after, number = self._cues[operation]
        if after == 0:
            if self._is_passing:
                del self._cues[operation]
            raise OSError(number, os.strerror(number))
        self._cues[operation] = (after - 1, number)

    def write_at(self, fd: int, chunk: memoryview, offset: int) -> None:
        try:
            super().write_at(fd, chunk, offset)
        except OSError:
            Disk.write_at(self, fd, chunk[: len(chunk) // 2], offset)
            raise

    def free_bytes(self, path: Path) -> int:
        return super().free_bytes(path) if self.free is None else self.free


class NthCallDisk(FailingDisk):
    """Fails one call, whichever operation that is: the one after `sound_count` sound ones."""

    def __init__(self, sound_count: int, number: int) -> None:
        super().__init__()
        self._left = sound_count
        self._number = number
        self.is_armed = False
        self.failed = ""
        """The operation that failed; "" if it did not come to that."""

    def on_call(self, operation: str) -> None:
        if not self.is_armed or self.failed:
            return
        if self._left == 0:
            self.failed = operation
            raise OSError(self._number, os.strerror(self._number))
        self._left -= 1


class ForgetfulDisk(ObservedDisk):
    """Remembers what was synced, so that a power cut can be played: the rest is forgotten.

    File contents count as synced when the file was; names when their directory was. LMDB syncs its
    own files at every commit, so those are taken as they lie.
    """

    def __init__(self) -> None:
        self._contents: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, int]] = {}

    def sync_data(self, fd: int) -> None:
        super().sync_data(fd)
        status = os.fstat(fd)
        self._contents[status.st_ino] = os.pread(fd, status.st_size, 0)

    def sync(self, fd: int) -> None:
        super().sync(fd)
        ForgetfulDisk.sync_data(self, fd)

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._names[path] = _names_in(path)

    def open_new(self, path: Path) -> int:
        fd = super().open_new(path)
        self._contents.pop(os.fstat(fd).st_ino, None)  # The number of a file long gone, perhaps.
        return fd

    def cut_power(self, root: Path, after: Path, *, names_survive: bool = False) -> None:
        """Lay at `after` what a cut at this moment may leave of `root`.

        Bytes never synced come back as zeros. With `names_survive` every name is as it was, synced
        or not, as a journal that committed in time would have it; else only synced names are.
        """
        sizes = _sizes_under(root)
        for directory in (root, *(path for path in root.rglob("*") if path.is_dir())):
            target = after / directory.relative_to(root)
            synced = self._names.get(directory.parent, {})
            if directory != root and not names_survive and directory.name not in synced:
                continue
            target.mkdir()
            if directory.parent == root and directory.name in ("index", "ledger"):
                shutil.copytree(directory, target, dirs_exist_ok=True)
                continue
            names = _names_in(directory) if names_survive else self._names.get(directory, {})
            for name, inode in names.items():
                if inode == DIRECTORY:
                    continue
                remembered = self._contents.get(inode, b"\0" * sizes.get(inode, 0))
                (target / name).write_bytes(remembered)


def _names_in(directory: Path) -> dict[str, int]:
    return {
        path.name: DIRECTORY if path.is_dir() else path.stat().st_ino
        for path in directory.iterdir()
    }


def _sizes_under(root: Path) -> dict[int, int]:
    return {path.stat().st_ino: path.stat().st_size for path in root.rglob("*") if path.is_file()}
