"""What all tests share: how hard hypothesis looks, and that a test leaves nothing open."""

import contextlib
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("check", derandomize=True, deadline=None, database=None)
settings.register_profile("deep", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "check"))

OURSELVES = Path("/proc/self")  # Where there is none, nothing is checked.


def child_processes() -> set[str]:
    """Return the processes we started and have not waited for."""
    children: set[str] = set()
    for task in OURSELVES.glob("task/*/children"):
        with contextlib.suppress(OSError):  # A thread that ends while we look.
            children.update(task.read_text("ascii").split())
    return children


def open_descriptors() -> set[tuple[str, str]]:
    """Return our open files and sockets. Pipes and polls come and go with loops and capturing."""
    descriptors: set[tuple[str, str]] = set()
    for link in OURSELVES.glob("fd/*"):
        with contextlib.suppress(OSError):
            descriptors.add((link.name, str(link.readlink())))
    return {(number, what) for number, what in descriptors if what.startswith(("socket:", "/"))}


@pytest.fixture(autouse=True)
def nothing_outlives_its_test() -> Iterator[None]:
    """Python warns of an unclosed file or socket; of a descriptor or a process it knows nothing."""
    children, descriptors = child_processes(), open_descriptors()
    yield
    assert not child_processes() - children, "the test left processes running or not waited for"
    if open_descriptors() - descriptors:
        gc.collect()
        assert not open_descriptors() - descriptors, "the test left files or sockets open"
