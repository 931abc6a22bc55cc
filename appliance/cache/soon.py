"""A call that follows soon, and once, however often it is asked for meanwhile."""

import asyncio
from collections.abc import Callable


class Soon:
    """Makes a call some time after it was asked for; who asks meanwhile asks for that one."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, within_seconds: float) -> None:
        """Have the call made, unless it is due already."""
        if self._timer is None:
            self._timer = self._loop.call_later(within_seconds, self._make)

    def cancel(self) -> None:
        """Do not make it, if it is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _make(self) -> None:
        self._timer = None
        self._call()
