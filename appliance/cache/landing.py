"""The way of a fill's bytes to the disk: a thread of the fill's own, and each run's place in it.

Theory of operation. Writes block, so they are not made on the loop. They are all made on one
thread, for a write is followed by the hashing of what it wrote, and neither the bytes nor the
digest should move from one processor's cache to another's; a pool of threads costs more than the
writes do. While a run's chunk is written the next is received, and no third is asked for.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

from appliance.protocol.ranges import Span
from appliance.store.pending import PendingBlob
from appliance.upstream.source import Chunk

type _Told = Callable[[BaseException | None], None]


class Writer:
    """The thread that writes to one pending blob. Use with `with`; it ends with what was put."""

    def __init__(self, pending: PendingBlob) -> None:
        self._pending = pending
        self._loop = asyncio.get_running_loop()
        self._writes: SimpleQueue[tuple[int, Chunk, _Told] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="fill", daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._writes.put(None)

    def put(self, position: int, chunk: Chunk, told: _Told) -> None:
        """Write `chunk`, soon. The loop then calls `told` with what the write raised, or None."""
        self._writes.put((position, chunk, told))

    def _run(self) -> None:
        while (write := self._writes.get()) is not None:
            position, chunk, told = write
            fault: BaseException | None = None
            try:
                self._pending.write(position, chunk)
            except BaseException as error:  # noqa: BLE001  # Raised where the run waits for it.
                fault = error
            with suppress(RuntimeError):  # The loop is closed: nobody waits for it any more.
                self._loop.call_soon_threadsafe(told, fault)


class Landing:
    """Writes what it is given, end to end from `position` on. `landed` gets each readable span."""

    def __init__(self, writer: Writer, position: int, landed: Callable[[Span], None]) -> None:
        self._writer = writer
        self._position = position
        self._landed = landed
        self._span: Span | None = None  # What is being written.
        self._written = asyncio.Event()
        self._fault: BaseException | None = None

    def put(self, chunk: Chunk) -> None:
        """Begin to write `chunk`, which must stay as it is until `settle` has returned."""
        assert self._span is None, "one chunk at a time"
        if chunk:
            self._span = Span(self._position, self._position + len(chunk))
            self._position = self._span.stop
            self._writer.put(self._span.start, chunk, self._note_written)

    async def settle(self) -> None:
        """Wait until all is written. Raises what a write raised."""
        while self._span is not None:
            self._written.clear()
            await self._written.wait()
        if self._fault is not None:
            raise self._fault

    def _note_written(self, fault: BaseException | None) -> None:
        span, self._span, self._fault = self._span, None, fault
        assert span is not None
        if fault is None:
            self._landed(span)
        self._written.set()
