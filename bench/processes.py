"""What a server's processes cost, all of them together: processor time and memory, from /proc."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.05


def tree(pid: int) -> list[int]:
    """`pid` and all that descends from it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents.setdefault(int(_fields(path)[1]), []).append(int(path.parent.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += parents.get(found[-1], [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree so far, also of children that ended. In hundredths."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += sum(map(int, _fields(Path(f"/proc/{each}/stat"))[11:15]))
    return total / _TICKS


def memory_mib(pid: int, name: str = "VmRSS") -> float:
    """Of the tree; what its processes share is counted for each. `VmHWM` is the most so far."""
    return sum(memory_of_one_mib(each, name) for each in tree(pid))


def memory_of_one_mib(pid: int, name: str = "VmRSS") -> float:
    """Of one process; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


class Peak:
    """The most memory that a process and its tree had while they were watched."""

    def __init__(self) -> None:
        self.own_mib = 0.0
        self.tree_mib = 0.0

    def sample(self, pid: int) -> None:
        self.own_mib = max(self.own_mib, memory_of_one_mib(pid))
        self.tree_mib = max(self.tree_mib, memory_mib(pid))


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Peak]:
    """Sample as long as it is entered, on a thread."""
    peak, is_over = Peak(), threading.Event()

    def watch() -> None:
        peak.sample(pid)
        while not is_over.wait(SAMPLE_SECONDS):
            peak.sample(pid)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


def _fields(stat: Path) -> list[str]:
    """What follows the name of a process in its `stat`: its state first, then its parent."""
    return stat.read_text("ascii", "replace").rpartition(")")[2].split()
