"""The lock: one holder; an orphan is asked to end; one that hangs is told of."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.dns import lock
from appliance.dns.lock import LOCK_NAME, LockedError, lock_held

HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in sys.argv else signal.SIG_DFL)
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.write(descriptor, (sys.argv[3] if len(sys.argv) > 3 else str(os.getpid())).encode())
print("held", flush=True)
signal.pause()
"""


@asynccontextmanager
async def held_elsewhere(state_dir: Path, *how: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, state_dir / LOCK_NAME, *how, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_lock_says_who_holds_it(tmp_path: Path) -> None:
    async with lock_held(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text("ascii") == str(os.getpid())
    assert (tmp_path / LOCK_NAME).read_text("ascii") == ""


async def test_an_orphan_is_asked_to_end_and_its_lock_taken(tmp_path: Path) -> None:
    async with held_elsewhere(tmp_path) as orphan:
        async with lock_held(tmp_path):
            assert (tmp_path / LOCK_NAME).read_text("ascii") == str(os.getpid())
        assert await orphan.wait() == -signal.SIGTERM


async def test_an_orphan_that_hangs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TAKEOVER_SECONDS", 0.1)
    async with held_elsewhere(tmp_path, "deaf") as orphan:
        with pytest.raises(LockedError) as caught:
            async with lock_held(tmp_path):
                raise AssertionError
        assert str(orphan.pid) in caught.value.hint


@pytest.mark.parametrize("holder", ["", "0", "1", "-1", "x", str(2**22 + 1)])
async def test_a_holder_that_is_no_process_is_not_asked(
    holder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "TAKEOVER_SECONDS", 0.1)
    async with held_elsewhere(tmp_path, "mild", holder):
        with pytest.raises(LockedError):
            async with lock_held(tmp_path):
                raise AssertionError


async def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with lock_held(tmp_path / "gone"):
            raise AssertionError
