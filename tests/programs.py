"""The real programs that journeys talk to: the machine's own, or those unpacked in the checkout."""

import os
import shutil
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
UNPACKED = HOUSE / ".cache" / "debian" / "bin"
SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin")  # Servers live here, and are not on every PATH.


def is_ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


def program(name: str) -> Path:
    """Return the program called `name`; where there is none, skip the test, or fail it in CI."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES, str(UNPACKED)))
    if found := shutil.which(name, path=path):
        return Path(found)
    reason = f"there is no {name} here: type `scripts/debian-programs`, or install it"
    if is_ci():
        pytest.fail(reason)
    pytest.skip(reason)
