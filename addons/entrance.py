"""Who is inside a door: counted while they are, and sent away when it closes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.policy.turnstile import Turnstile


@contextmanager
def counted(turnstile: Turnstile, writer: asyncio.StreamWriter) -> Iterator[str | None]:
    """Count a client as long as this lasts; its address, or None where it is hung up on."""
    peer = writer.get_extra_info("peername")
    address = peer[0] if peer else ""
    if not turnstile.enter(address):
        writer.transport.abort()
        yield None
        return
    try:
        yield address
    finally:
        turnstile.leave(address)


class Attendance:
    """The tasks on which a door serves its clients itself."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    @contextmanager
    def attending(self) -> Iterator[None]:
        """Have the current task end with the door, as long as this lasts."""
        task = asyncio.current_task()
        assert task is not None, "a door serves on tasks"
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def end(self) -> None:
        """Cancel those that are left, and wait until they are over."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
