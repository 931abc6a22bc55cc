"""One DNS process for a state directory: the newest takes over from what a dead box left behind.

The box's own lock has already refused a second box, so whoever holds this one is an orphan. It is
asked to end, and ends by giving up its sockets first.
"""

import asyncio
import fcntl
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

LOCK_NAME = "dns.lock"
TAKEOVER_SECONDS = 5.0  # An orphan ends within its loop's next turn; more means that it hangs.

_POLL_SECONDS = 0.02


class LockedError(Exception):
    """Another DNS process holds the lock and does not end."""

    def __init__(self, holder: int | None) -> None:
        super().__init__("another DNS process of this state directory does not end")
        self.hint = f"end it: kill -9 {holder}" if holder else "see which process holds dns.lock"


@asynccontextmanager
async def lock_held(state_dir: Path) -> AsyncIterator[None]:
    """Hold the lock, with our pid in it, ending an orphan that has it.

    Raises:
        OSError: the directory is not ours to write in.
        LockedError: the orphan does not end.
    """
    descriptor = os.open(state_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _take(descriptor)
        _write_holder(descriptor, str(os.getpid()))
        yield
        _write_holder(descriptor, "")
    finally:
        os.close(descriptor)


async def _take(descriptor: int) -> None:
    asked = None
    try:
        async with asyncio.timeout(TAKEOVER_SECONDS):
            while not _try(descriptor):
                holder = _read_holder(descriptor)
                if holder is not None and holder != asked:
                    asked = holder
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(holder, signal.SIGTERM)
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise LockedError(asked) from None


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 20, 0)
    return int(text) if text.isdigit() and int(text) > 1 else None


def _write_holder(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
