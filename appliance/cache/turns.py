"""Whose turn it is: how many fills run at once, and who waits.

Theory of operation. A client that pulls a model of tensors asks for many blobs side by side, and
drops a body that is much slower than those it has finished; so if all of them crawled along on one
thin line, none would ever end. Fills that only such clients wait for are *patient*: PATIENT_MAX of
them run at once, each with a good part of the line, and the others send nothing yet, which those
clients bear. Somebody who is not patient and wants such a blob hurries it: it runs at once.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from appliance.protocol.digest import Digest

# Fills that run at once; others wait their turn. Each holds a file, and memory for its runs.
FILLS_MAX = 64
# As many bodies as the newest Ollama fetches at once of a model of tensors: none of them waits.
PATIENT_MAX = 4


class Turns:
    """Hands out turns, in the order of asking."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(FILLS_MAX)
        self._patient_count = 0
        self._waiting: dict[Digest, asyncio.Future[bool]] = {}
        self.running_count = 0

    @asynccontextmanager
    async def taken(self, digest: Digest, *, is_patient: bool) -> AsyncIterator[None]:
        """Wait for a turn to fill `digest`, and have it while this is entered."""
        is_counted = is_patient and await self._wait_patiently(digest)
        try:
            async with self._places:
                self.running_count += 1
                try:
                    yield
                finally:
                    self.running_count -= 1
        finally:
            if is_counted:
                self._pass_on()

    def hurry(self, digest: Digest) -> None:
        """Somebody wants this blob now: if its fill waits patiently, it waits no longer."""
        waiting = self._waiting.pop(digest, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(False)

    async def _wait_patiently(self, digest: Digest) -> bool:
        """Wait; whether the turn is one of the patient ones'."""
        if self._patient_count < PATIENT_MAX:
            self._patient_count += 1
            return True
        waiting = self._waiting[digest] = asyncio.get_running_loop().create_future()
        try:
            is_counted: bool = await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.result():
                self._pass_on()
            raise
        finally:
            if self._waiting.get(digest) is waiting:
                del self._waiting[digest]
        return is_counted

    def _pass_on(self) -> None:
        """Give a patient turn that ended to who waits longest."""
        while self._waiting:
            waiting = self._waiting.pop(next(iter(self._waiting)))
            if not waiting.done():
                waiting.set_result(True)
                return
        self._patient_count -= 1
