"""What the disk has spoiled: kept from readers at once, fetched again as soon as that may be.

Theory of operation. A span that is not right is *condemned*: from that moment no reader gets a byte
of it. Those who are being sent it are cut short and come again, others read on, and who asks for it
meanwhile is served from the origin. Once all bad spans of the blob are known it becomes a pending
one again, of which everything but those is held. An ordinary fill fetches them, proves the whole by
its sha256 and commits. A blob of which nothing is known to be right goes to quarantine, and is
fetched whole.

What cannot be mended now, since the origin is away or has other bytes, is tried again, ever more
seldom; a client that wants it may come first.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from appliance.cache.fill import Fill
from appliance.cache.tally import Count, Tally
from appliance.policy.backoff import choose_mismatch_pause
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown, Unavailable
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Repository
from appliance.store.faults import DigestMismatchError, StoreError
from appliance.store.records import BlobRecord
from appliance.store.store import Store

LOOK_SECONDS = 10.0  # Between two looks for what is to be tried again, which costs nothing.

_log = logging.getLogger("cache")

type BeginFill = Callable[[Repository, Digest, int], Awaitable[Fill]]


@dataclass(slots=True)
class _Damage:
    digest: Digest
    size_bytes: int
    bad_bytes: int
    repository: Repository
    attempt: int = 0
    due_at: float = 0.0


class Mender:
    """`fill` begins, or joins, the fill of a blob; `spoil` cuts short who is sent bad spans."""

    def __init__(
        self,
        store: Store,
        *,
        tally: Tally,
        now: Callable[[], float],
        fill: BeginFill,
        spoil: Callable[[Digest, SpanSet], None],
    ) -> None:
        self._store = store
        self._tally = tally
        self._now = now
        self._begin_fill = fill
        self._spoil = spoil
        self._condemned: dict[Digest, SpanSet] = {}
        self._damages: dict[Digest, _Damage] = {}

    @property
    def unmended(self) -> tuple[Digest, ...]:
        """What is out of service, and not yet right again."""
        return tuple(self._damages)

    def is_condemned(self, digest: Digest, span: Span) -> bool:
        """Whether any byte of the span is known to be wrong."""
        bad = self._condemned.get(digest)
        return bad is not None and list(bad.missing(span)) != [span]

    async def keep_trying(self) -> None:
        """Try again what could not be mended, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.mend_due()

    async def mend_due(self) -> None:
        """Try again what is due."""
        for damage in tuple(self._damages.values()):
            if damage.due_at <= self._now():
                await self._try(damage)

    def condemn(self, digest: Digest, bad: SpanSet) -> None:
        """Give nobody any byte of `bad` from now on."""
        self._condemned[digest] = bad
        self._spoil(digest, bad)

    def absolve(self, digest: Digest) -> None:
        """The file with the bad bytes is in nobody's way any more."""
        self._condemned.pop(digest, None)

    async def treat(self, record: BlobRecord, bad: SpanSet) -> None:
        """Take a damaged blob out of service, and have it mended if that can be done now."""
        digest, size_bytes = record.digest, record.size_bytes
        self._tally.add(Count.DAMAGED)
        _log.warning("%s: %d of its %d bytes went bad", digest, bad.size_bytes, size_bytes)
        lister = await asyncio.to_thread(self._store.find_lister, digest)
        try:
            if lister is None or bad.covers(Span(0, size_bytes)):
                await asyncio.to_thread(self._store.quarantine, digest)
            else:
                await asyncio.to_thread(self._store.withdraw, digest, bad, lister)
        except BlobUnknown:
            return
        finally:
            self.absolve(digest)
        if lister is not None:
            damage = _Damage(digest, size_bytes, bad.size_bytes, lister)
            self._damages[digest] = damage
            await self._try(damage)

    async def _try(self, damage: _Damage) -> None:
        """Have it filled; remember when to try again where that fails."""
        digest = damage.digest
        if await asyncio.to_thread(self._store.find_lister, digest) is None:
            self._damages.pop(digest, None)  # Nobody wants it any more.
            return
        fault = await self._fill(damage)
        if self._store.find_blob(digest) is None:
            damage.attempt += 1
            damage.due_at = self._now() + choose_mismatch_pause(damage.attempt)
            if isinstance(fault, DigestMismatchError):
                damage.bad_bytes = damage.size_bytes
            _log.warning("%s is not mended yet: %s", digest, fault)
        elif self._damages.pop(digest, None):
            self._tally.add(Count.MENDED)
            self._tally.add(Count.MENDED_BYTES, damage.bad_bytes)
            _log.info("%s is mended: %d bytes were fetched again", digest, damage.bad_bytes)

    async def _fill(self, damage: _Damage) -> Exception | None:
        """Wait for the fill, whoever began it; return what went wrong."""
        if self._store.find_blob(damage.digest) is not None:
            return None
        try:
            fill = await self._begin_fill(damage.repository, damage.digest, damage.size_bytes)
        except (StoreError, OSError, Unavailable) as fault:
            return fault
        await fill.over.wait()
        return fill.fault
