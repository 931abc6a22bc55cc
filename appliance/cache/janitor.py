"""Keeps the store within its budget: makes room for what arrives, and looks after it on a beat.

Room is made before a fill begins, or not at all: where even the last model that may go would not
be enough, nothing goes, and the new blob is passed on uncached. On its beat the janitor sets right
what came from outside: a lowered limit, or a disk that others fill.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection

from appliance.cache.tally import Count, Tally
from appliance.policy.eviction import Budget, Eviction, Holding, plan_eviction, plan_removal
from appliance.protocol.digest import Digest
from appliance.protocol.reference import Reference
from appliance.store.faults import StoreError
from appliance.store.store import Store

BEAT_SECONDS = 30.0  # Other programs fill a disk in minutes; a look costs milliseconds.
# A client that pulls comes for its next part or blob within seconds of the last.
IN_USE_SECONDS = 60.0

_log = logging.getLogger("cache")


class PinnedError(Exception):
    """What is to go is pinned."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"{reference} is pinned")
        self.hint = f"first: ollama-appliance unpin {reference}"


class UnknownModelError(Exception):
    """No such model is held."""

    def __init__(self, reference: Reference) -> None:
        super().__init__(f"{reference} is not held")
        self.hint = "see what is: ollama-appliance models"


class Janitor:
    """Lets go of models. `filling` names the blobs under way, `own` those of the box itself."""

    def __init__(
        self,
        store: Store,
        *,
        budget: Callable[[], Budget],
        filling: Callable[[], Collection[Digest]],
        own: Collection[Digest],
        tally: Tally,
    ) -> None:
        self.budget = budget
        self._store = store
        self._filling = filling
        self._own = frozenset(own)
        self._tally = tally
        self._used_at: dict[Digest, float] = {}
        self._busy = asyncio.Lock()

    def note_used(self, digest: Digest) -> None:
        """Remember that a client reads this blob now."""
        self._used_at.pop(digest, None)
        self._used_at[digest] = time.monotonic()

    async def make_room(self, needed_bytes: int) -> bool:
        """Let go of so much that a fill of `needed_bytes` may begin.

        False, and nothing has gone, where that cannot be.
        """
        async with self._busy:
            wanted_bytes = await asyncio.to_thread(self._find_excess, needed_bytes)
            if wanted_bytes <= 0:
                return True  # Others made room meanwhile.
            eviction = await asyncio.to_thread(self._plan, wanted_bytes)
            if eviction.freed_bytes < wanted_bytes:
                return False
            await asyncio.to_thread(self._carry_out, eviction)
            return True

    async def keep_watch(self) -> None:
        """Keep the store within its budget until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self.tidy()
            except (StoreError, OSError) as fault:
                _log.warning("the store cannot be kept within its budget: %s", fault)

    async def tidy(self) -> None:
        """Let go of as much as the store is over its budget, or of as much as may go."""
        async with self._busy:
            wanted_bytes = await asyncio.to_thread(self._find_excess, 0)
            if wanted_bytes > 0:
                eviction = await asyncio.to_thread(self._plan, wanted_bytes)
                await asyncio.to_thread(self._carry_out, eviction)

    async def evict(self, wanted_bytes: int, *, dry_run: bool = False) -> Eviction:
        """Let go of the least recently pulled until `wanted_bytes` are free, or none may go."""
        async with self._busy:
            eviction = await asyncio.to_thread(self._plan, wanted_bytes)
            if not dry_run:
                await asyncio.to_thread(self._carry_out, eviction)
            return eviction

    async def remove(self, reference: Reference, *, dry_run: bool = False) -> Eviction:
        """Let go of one tag, and of the blobs that nothing else lists; return what that frees.

        Blobs in use stay until somebody wants their space. Raises PinnedError, UnknownModelError.
        """
        async with self._busy:
            return await asyncio.to_thread(self._remove, reference, dry_run=dry_run)

    async def collect(self, *, dry_run: bool = False) -> Eviction:
        """Let go of manifests that their tags have left, and of blobs that nothing lists."""
        async with self._busy:
            return await asyncio.to_thread(self._collect, dry_run=dry_run)

    def _find_excess(self, needed_bytes: int) -> int:
        stats = self._store.stats()
        promised_bytes = stats.reserved_bytes + needed_bytes
        return self.budget().excess_bytes(
            used_bytes=stats.blob_size_bytes + stats.pending_held_bytes + promised_bytes,
            spare_bytes=stats.free_bytes - promised_bytes,
        )

    def _plan(self, wanted_bytes: int) -> Eviction:
        return plan_eviction(
            self._store.holdings(),
            self._store.sizes(),
            kept=self._find_kept(),
            wanted_bytes=wanted_bytes,
        )

    def _find_kept(self) -> frozenset[Digest]:
        since = time.monotonic() - IN_USE_SECONDS
        for digest, used_at in tuple(self._used_at.items()):
            if used_at < since:
                self._used_at.pop(digest, None)
        return frozenset(self._used_at) | frozenset(self._filling()) | self._own

    def _remove(self, reference: Reference, *, dry_run: bool) -> Eviction:
        if str(reference) in self._store.pins():
            raise PinnedError(reference)
        holdings = self._store.holdings()
        if not any(reference in each.names for each in holdings):
            raise UnknownModelError(reference)
        removal = self._plan_removal(
            holdings, [each for each in holdings if each.names == {reference}]
        )
        if not dry_run:
            self._store.forget_tag(reference)
            self._let_go(removal.blobs)
        return removal

    def _collect(self, *, dry_run: bool) -> Eviction:
        holdings = self._store.holdings()
        removal = self._plan_removal(holdings, [each for each in holdings if not each.names])
        if not dry_run:
            for each in removal.holdings:
                self._store.forget_manifest(each.repository, each.digest)
            self._let_go(removal.blobs)
        return removal

    def _plan_removal(self, holdings: list[Holding], removed: list[Holding]) -> Eviction:
        sizes = self._store.sizes()
        return plan_removal(holdings, sizes, kept=self._find_kept(), removed=removed)

    def _carry_out(self, eviction: Eviction) -> None:
        for holding in eviction.holdings:
            self._store.forget_manifest(holding.repository, holding.digest)
            _log.info("evicted %s %s", holding.repository, holding.digest)
        self._let_go(eviction.blobs)
        self._tally.add(Count.EVICTIONS, len(eviction.holdings))
        self._tally.add(Count.EVICTED_BYTES, eviction.freed_bytes)

    def _let_go(self, digests: Collection[Digest]) -> None:
        """Blobs that a stored manifest lists by now, as it was pulled this moment, stay."""
        listed = {blob for holding in self._store.holdings() for blob in holding.blobs}
        for digest in digests:
            if digest not in listed:
                self._store.discard_blob(digest)
                self._store.drop_pending(digest)
