"""Reads again what is held, and mends what the disk has spoiled, before a client gets it.

Theory of operation. The patrol reads every blob in the order of digests, 16 MiB at a time, at the
pace of so many days for all of it; it gives way to pulls, and the ledger remembers where it is. An
operator may have a model, or everything, read at once. Past the first bad span of a blob its rest
is read without pause, so that all of them are known when it is mended (mending.py).
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace

from appliance.cache.janitor import UnknownModelError
from appliance.cache.mending import Mender
from appliance.cache.tally import Count, Tally
from appliance.policy.scrubbing import choose_pause
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference
from appliance.store.faults import StoreError
from appliance.store.records import CHECKED_SPAN_BYTES, BlobRecord, ScrubMark
from appliance.store.store import Store

LOOK_SECONDS = 60.0  # The longest sleep: what is left, and the clock, may have changed meanwhile.
YIELD_SECONDS = 2.0  # While pulls are under way the patrol looks so often whether they are over.
YIELDS_MAX = 30  # And reads one span all the same: a box that is never idle has a disk too.
SAVE_SECONDS = 5.0  # What a kill may have to be read again, at full speed.
FIRST = Digest("0" * 64)

_log = logging.getLogger("cache")


@dataclass(slots=True)
class Scrubbing:
    """What reading again came to, so far. `damaged` has each blob's bad bytes."""

    blob_count: int = 0
    total_bytes: int = 0
    read_bytes: int = 0
    damaged: dict[Digest, int] = field(default_factory=dict)
    unmended: list[Digest] = field(default_factory=list)

    def note_read(self, read_bytes: int, _span: Span, _is_right: bool | None) -> None:
        """Count what was just read."""
        self.read_bytes += read_bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """How the patrol stands; `asked` is what an operator asked for and is under way."""

    days: float
    began_at: float
    checked_at: float
    left_bytes: int
    unmended: tuple[Digest, ...]
    asked: Scrubbing | None


class Scrubber:
    """`days` is what a pass may take, 0 for none; `own` are blobs that nobody needs read again.

    `is_busy` tells whether anybody pulls.
    """

    def __init__(
        self,
        store: Store,
        mender: Mender,
        *,
        days: float,
        own: Collection[Digest],
        tally: Tally,
        now: Callable[[], float],
        is_busy: Callable[[], bool],
    ) -> None:
        self._store = store
        self._mender = mender
        self._days = days
        self._own = frozenset(own)
        self._tally = tally
        self._now = now
        self._is_busy = is_busy
        self._mark = store.scrub_mark() or ScrubMark(now(), now(), FIRST, 0)
        self._saved = self._mark
        self._saved_at = time.monotonic()
        self._left_bytes = 0
        self._asked: Scrubbing | None = None

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            self._days,
            self._mark.began_at,
            self._mark.checked_at,
            self._left_bytes,
            self._mender.unmended,
            self._asked,
        )

    async def patrol(self) -> None:
        """Read everything again and again, at its pace, until cancelled."""
        while self._days:
            try:
                is_any_left = await self._patrol_blob()
            except (StoreError, OSError) as fault:
                _log.warning("the scrub is held up: %s", fault)
                is_any_left = False
            if not is_any_left:
                await asyncio.sleep(LOOK_SECONDS)

    async def scrub(self, reference: Reference | None = None) -> Scrubbing:
        """Read a model again, or everything, now, and mend what is wrong as far as that goes.

        Raises UnknownModelError.
        """
        records = await asyncio.to_thread(self._find_records, reference)
        done = self._asked = Scrubbing(len(records), sum(each.size_bytes for each in records))
        try:
            for record in records:
                bad = await self._find_bad(record, 0, _at_once, done.note_read)
                if bad:
                    done.damaged[record.digest] = bad.size_bytes
                    await self._mender.treat(record, bad)
        finally:
            self._asked = None
        done.unmended = [each for each in done.damaged if each in self._mender.unmended]
        return done

    def _find_records(self, reference: Reference | None) -> list[BlobRecord]:
        records = [each for each in self._store.blobs() if each.digest not in self._own]
        if reference is None:
            return records
        named = [each for each in self._store.holdings() if reference in each.names]
        if not named:
            raise UnknownModelError(reference)
        wanted = {digest for holding in named for digest in holding.blobs}
        return [each for each in records if each.digest in wanted]

    # The patrol.

    async def _patrol_blob(self) -> bool:
        """Read the next blob, or the rest of it, at the patrol's pace; False where none is left."""
        records = await asyncio.to_thread(self._find_records, None)
        mark = self._mark
        ahead = [each for each in records if _place(each) > (mark.digest.encoded, mark.offset)]
        if not ahead:
            self._mark = ScrubMark(self._now(), self._now(), FIRST, 0)
            return bool(records)
        record = ahead[0]
        start = mark.offset if record.digest == mark.digest else 0
        self._left_bytes = sum(each.size_bytes for each in ahead) - start
        self._mark = replace(mark, digest=record.digest, offset=start)
        bad = await self._find_bad(record, start, self._pause, self._note_patrolled)
        if bad:
            await self._mender.treat(record, bad)
        self._mark = replace(self._mark, offset=record.size_bytes)
        return True

    def _note_patrolled(self, read_bytes: int, span: Span, is_right: bool | None) -> None:
        offset = span.stop if is_right else self._mark.offset
        self._mark = replace(self._mark, checked_at=self._now(), offset=offset)
        self._left_bytes -= read_bytes

    async def _pause(self, next_bytes: int) -> None:
        """Wait until the next bytes are due, and longer while pulls are under way."""
        while (seconds := self._seconds_until_due(next_bytes)) > 0:
            await self._save(seconds)
            await asyncio.sleep(min(seconds, LOOK_SECONDS))
        for _ in range(YIELDS_MAX):
            if not self._is_busy():
                return
            await asyncio.sleep(YIELD_SECONDS)

    def _seconds_until_due(self, next_bytes: int) -> float:
        mark, now = self._mark, self._now()
        if mark.checked_at > now:  # The clock was set back.
            mark = self._mark = replace(mark, checked_at=now, began_at=min(mark.began_at, now))
        pause = choose_pause(
            next_bytes,
            left_bytes=self._left_bytes,
            began_at=mark.began_at,
            now=mark.checked_at,
            days=self._days,
        )
        return pause - (now - mark.checked_at)

    async def _save(self, idle_seconds: float) -> None:
        """Remember the mark: before a pause, and now and then where there is none to speak of."""
        age_seconds = time.monotonic() - self._saved_at
        if self._mark is not self._saved and max(age_seconds, idle_seconds) >= SAVE_SECONDS:
            self._saved, self._saved_at = self._mark, time.monotonic()
            await asyncio.to_thread(self._store.note_scrubbed, self._saved)

    async def _find_bad(
        self,
        record: BlobRecord,
        start: int,
        pause: Callable[[int], Awaitable[None]],
        note: Callable[[int, Span, bool | None], None],
    ) -> SpanSet:
        """The bad spans from `start` on, condemned; past the first it pauses no more."""
        bad, position = SpanSet(), start
        check = self._store.check_blob(record.digest, start)
        try:
            while True:
                if not bad:
                    await pause(min(CHECKED_SPAN_BYTES, record.size_bytes - position))
                found = await asyncio.to_thread(next, check, None)
                if found is None:
                    return bad
                span, is_right = found
                self._tally.add(Count.SCRUBBED_BYTES, span.stop - position)
                note(span.stop - position, span, is_right)
                position = span.stop
                if is_right is False:
                    bad.add(span)
                    self._mender.condemn(record.digest, bad)
        except BlobUnknown:  # It was let go of, or is being mended already.
            self._mender.absolve(record.digest)
            return SpanSet()
        finally:
            with suppress(ValueError):  # A thread still reads: what it holds goes with it.
                check.close()


async def _at_once(_: int) -> None: ...


def _place(record: BlobRecord) -> tuple[str, int]:
    """Where the patrol is once it has read all of a blob."""
    return record.digest.encoded, record.size_bytes
