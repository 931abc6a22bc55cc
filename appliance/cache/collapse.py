"""Many who ask the same at once, one who goes and asks (RFC 9111 §4, "collapsed requests")."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, cast


class Collapse:
    """Runs one job a key at a time and gives its outcome to all who asked meanwhile.

    The job belongs to `group`, not to who asked first: it survives that client going away.
    """

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    def cancel(self) -> None:
        """End every job; whoever still waits for one is cancelled too."""
        for task in self._running.values():
            task.cancel()

    async def run[T](self, key: Hashable, job: Callable[[], Awaitable[T]]) -> T:
        """Return what `job` returns, or raise what it raises; every waiter gets the same."""
        task = self._running.get(key)
        if task is None:
            task = self._group.create_task(self._settle(key, job))
            self._running[key] = task
        outcome, error = await asyncio.shield(task)
        if error is not None:
            raise error
        return cast("T", outcome)

    def _settle(
        self, key: Hashable, job: Callable[[], Awaitable[Any]]
    ) -> Coroutine[Any, Any, tuple[Any, Exception | None]]:
        async def settle() -> tuple[Any, Exception | None]:
            try:
                return await job(), None
            except Exception as error:  # noqa: BLE001  # Every waiter raises it again.
                return None, error
            finally:
                del self._running[key]

        return settle()
