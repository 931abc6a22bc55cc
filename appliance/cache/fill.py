"""One fill per digest: the one running effort to complete a blob, however many clients wait for it.

Theory of operation. A fill asks its plan for the next run, fetches it from the source, writes it to
the pending blob and wakes its readers, until nothing is missing; then it verifies and commits. It
belongs to the cache, not to a client: readers come and go and only watch `held` grow. Held spans
are recorded every SYNC_BYTES or SYNC_SECONDS after their bytes are on disk, so that a box that was
killed fetches little again. Trouble with the source is waited out for as long as anything still
arrives now and then; a fill that gives up keeps what it holds for the next one.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable

from appliance.cache.tally import Count, Tally
from appliance.policy.backoff import choose_delay
from appliance.policy.fillplan import plan_run
from appliance.protocol.ranges import Span
from appliance.store.faults import DigestMismatchError, StoreError
from appliance.store.pending import PendingBlob
from appliance.upstream.source import OriginUnreachableError, Source

SYNC_BYTES = 64 * 1024 * 1024  # What a kill may cost at full speed: half a second of a fast line.
SYNC_SECONDS = 5.0  # And on a slow one.

_log = logging.getLogger("cache")


class Fill:
    """The fill of one digest. `fault` tells why it ended without completing its blob."""

    def __init__(
        self, pending: PendingBlob, source: Source, tally: Tally, *, now: Callable[[], float]
    ) -> None:
        self.pending = pending
        self.file_fd = pending.open_reader()  # Open until the fill is over, committed or not.
        self.fault: Exception | None = None
        self.is_over = False
        self._source = source
        self._tally = tally
        self._now = now
        self._progress = asyncio.Event()
        self._unsynced_bytes = 0
        self._synced_at = time.monotonic()
        self._attempt = 0

    async def run(self) -> None:
        """Fetch what is missing and commit. Raises nothing: what went wrong is left in `fault`."""
        try:
            await self._complete()
        except asyncio.CancelledError:
            _let_go(self.pending.suspend)
            raise
        except DigestMismatchError as fault:
            self.fault = fault
            self._tally.add(Count.MISMATCHES)
        except (StoreError, OSError) as fault:  # The disk takes no more: readers stream on.
            self.fault = fault
            await asyncio.to_thread(_let_go, self.pending.cancel)
        except Exception as fault:  # noqa: BLE001  # One blob's accident is not the box's end.
            self.fault = fault
            await asyncio.to_thread(_let_go, self.pending.suspend)
        finally:
            self._end()

    def abandon(self) -> None:
        """End a fill whose `run` was cancelled before its first step. Blocks."""
        if not self.is_over:
            _let_go(self.pending.suspend)
            self._end()

    async def wait_held(self, position: int) -> int:
        """Wait for bytes from `position` on; return where they end so far.

        Returns `position` itself when the fill is over and they will not come.
        """
        while True:
            progress = self._progress
            stop = self.pending.held.held_from(position)
            if stop > position or self.is_over:
                return stop
            await progress.wait()

    async def _complete(self) -> None:
        while (run := plan_run(self.pending.size_bytes, self.pending.held)) is not None:
            await self._fetch_patiently(run)
        await asyncio.to_thread(self.pending.commit, stored_at=self._now())
        self._tally.add(Count.FILLS)

    def _end(self) -> None:
        self.is_over = True
        os.close(self.file_fd)
        self._announce()

    async def _fetch_patiently(self, run: Span) -> None:
        try:
            await self._fetch(run)
        except OriginUnreachableError as error:
            self._attempt += 1
            delay = choose_delay(
                self._attempt,
                jitter=random.random(),  # noqa: S311  # Spreads requests, hides nothing.
                retry_after_seconds=error.retry_after_seconds,
            )
            if delay is None:
                raise
            await asyncio.sleep(delay)

    async def _fetch(self, run: Span) -> None:
        pending = self.pending
        opened = self._source.open_span(pending.repository, pending.digest, run, pending.size_bytes)
        position = run.start
        async with opened as chunks:
            async for chunk in chunks:
                await asyncio.to_thread(pending.write, position, chunk)
                position += len(chunk)
                self._attempt = 0
                self._tally.add(Count.FETCHED_BYTES, len(chunk))
                self._announce()
                await self._sync_sometimes(len(chunk))

    async def _sync_sometimes(self, written_bytes: int) -> None:
        self._unsynced_bytes += written_bytes
        is_due = time.monotonic() - self._synced_at > SYNC_SECONDS
        if self._unsynced_bytes >= SYNC_BYTES or is_due:
            await asyncio.to_thread(self.pending.sync)
            self._unsynced_bytes = 0
            self._synced_at = time.monotonic()

    def _announce(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()


def _let_go(leave: Callable[[], None]) -> None:
    """Close a pending blob; a disk that cannot even do that must not hide why it is left."""
    try:
        leave()
    except (StoreError, OSError) as fault:
        _log.warning("a fill was not left in order: %s", fault)
