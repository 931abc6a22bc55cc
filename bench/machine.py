"""The machine that figures are of, in a line, and where programs are on it."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

UNPACKED = Path(".cache/debian/bin")


class ProgramMissingError(Exception):
    """What the box is to be compared with is not here."""

    hint = "scripts/debian-programs --bench"


def find_program(name: str) -> str:
    """The machine's own, or that unpacked in the checkout. Raises ProgramMissingError."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin", str(UNPACKED)))
    found = shutil.which(name, path=path)
    if found is None:
        raise ProgramMissingError(f"there is no {name} here")
    return str(Path(found).absolute())


def describe_machine() -> str:
    """Cores, processor, memory, kernel, Python."""
    facts = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    model = next((each.partition(":")[2].strip() for each in facts if "model name" in each), "?")
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {model}, {memory_gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def describe_load() -> str:
    """How busy the machine is, for figures of a busy one are upper bounds."""
    return f"load average {os.getloadavg()[0]:.1f} when it began"


def describe_program(name: str, *version: str) -> str:
    """The first line that a program says of its version."""
    done = subprocess.run(
        [find_program(name), *version], check=False, capture_output=True, text=True
    )
    return (done.stdout + done.stderr).strip().splitlines()[0]
