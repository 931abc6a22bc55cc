"""The real programs that journeys talk to: the machine's own, or those unpacked in the checkout."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

HOUSE = Path(__file__).parent.parent
UNPACKED = HOUSE / ".cache" / "debian" / "bin"
AXE = HOUSE / ".cache" / "axe" / "axe.min.js"
SYSTEM_DIRECTORIES = ("/usr/sbin", "/sbin")  # Servers live here, and are not on every PATH.


def is_ci() -> bool:
    return os.environ.get("CI", "") not in ("", "0", "false")


def program(name: str) -> Path:
    """Return the program called `name`; where there is none, skip the test, or fail it in CI."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_DIRECTORIES, str(UNPACKED)))
    if found := shutil.which(name, path=path):
        return Path(found)
    return do_without(f"there is no {name} here: type `scripts/debian-programs`, or install it")


def read_axe() -> str:
    """Return axe-core's script; where there is none, skip the test, or fail it in CI."""
    if AXE.exists():
        return AXE.read_text("utf-8")
    return do_without("there is no axe-core here: type `scripts/axe-core`, which asks npm for it")


def do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI."""
    if is_ci():
        pytest.fail(reason)
    pytest.skip(reason)
