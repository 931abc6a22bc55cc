"""What the box downloads with no client waiting for it, which an operator may pause.

Theory of operation. In the background run what is fetched ahead of time, what clients began and
left, what an earlier life of the box left, and what is mended. While that is paused, a fill that no
client waits for comes to rest: it ends, what it holds stays, and the next who wants the blob goes
on from there. A client that breaks off may be back in a moment, so its fill has some seconds. A
pull never waits for anything here.

It is remembered: whoever keeps the line free for something else would not have it filled by a box
that was restarted meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Iterable

from appliance.cache.fill import Fill
from appliance.store.store import Store

# After its last client left. Ollama asks for a part again within seconds, and a session of that
# long a silence is over.
LEFT_SECONDS = 10.0


class Background:
    """The switch. `resume` goes on with what is unfinished."""

    def __init__(
        self, store: Store, *, fills: Callable[[], Iterable[Fill]], resume: Callable[[], int]
    ) -> None:
        self._store = store
        self._fills = fills
        self._resume = resume
        self._is_on = asyncio.Event()
        if not store.agenda.is_paused:
            self._is_on.set()

    @property
    def is_paused(self) -> bool:
        return not self._is_on.is_set()

    async def wait(self) -> None:
        """Wait until it is not paused."""
        await self._is_on.wait()

    async def pause(self) -> bool:
        """Have nothing downloaded that nobody waits for; whether that is new."""
        was_on = self._is_on.is_set()
        await asyncio.to_thread(self._store.agenda.pause, is_paused=True)
        self._is_on.clear()
        self.look(time.monotonic())
        return was_on

    async def go_on(self) -> int:
        """Download again; return how many blobs are gone on with."""
        await asyncio.to_thread(self._store.agenda.pause, is_paused=False)
        if not self.is_paused:
            return 0
        self._is_on.set()
        return self._resume()

    def look(self, now: float) -> None:
        """While it is paused, bring to rest what no client waits for."""
        if self.is_paused:
            for fill in self._fills():
                if fill.unwanted_seconds(now) >= LEFT_SECONDS:
                    fill.rest()
