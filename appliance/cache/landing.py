"""One run's way to the disk: chunks are gathered while those before them are written.

Writes block, so they are made on threads, one at a time for each run: the digest can then follow a
run from chunk to chunk without reading it back.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from appliance.protocol.ranges import Span
from appliance.store.pending import PendingBlob

GATHERED_BYTES_MAX = 512 * 1024  # Two reads of a socket. A disk that is slower slows the run down.


class Landing:
    """Writes what it is given, end to end from `position` on. `landed` gets each readable span."""

    def __init__(self, pending: PendingBlob, position: int, landed: Callable[[Span], None]) -> None:
        self._pending = pending
        self._position = position
        self._landed = landed
        self._loop = asyncio.get_running_loop()
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._is_writing = False
        self._written = asyncio.Event()
        self._fault: BaseException | None = None

    def put(self, chunk: bytes) -> None:
        """Take `chunk`, to be written at once or after what is being written."""
        if chunk and self._fault is None:
            self._gathered.append(chunk)
            self._gathered_bytes += len(chunk)
            if not self._is_writing:
                self._write()

    async def has_room(self) -> None:
        """Wait until more may be put. Raises what a write raised."""
        while self._gathered_bytes > GATHERED_BYTES_MAX:
            await self._turn()
        self._raise_fault()

    async def settle(self) -> None:
        """Wait until all is written. Raises what a write raised."""
        while self._is_writing:
            await self._turn()
        self._raise_fault()

    async def _turn(self) -> None:
        self._written.clear()
        await self._written.wait()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _write(self) -> None:
        span = Span(self._position, self._position + self._gathered_bytes)
        writing = self._loop.run_in_executor(None, self._pending.write, span.start, *self._gathered)
        writing.add_done_callback(partial(self._note_written, span))
        self._gathered, self._gathered_bytes = [], 0
        self._position, self._is_writing = span.stop, True

    def _note_written(self, span: Span, writing: asyncio.Future[None]) -> None:
        self._is_writing = False
        self._fault = writing.exception()
        if self._fault is None:
            self._landed(span)
            if self._gathered:
                self._write()
        else:
            self._gathered, self._gathered_bytes = [], 0
        self._written.set()
