"""The two halves of a pull: manifests, and spans of blobs. What every door asks.

A blob is served under a repository only where a stored manifest of that repository lists it, or
the origin, asked anonymously, says that it is there: a digest alone is no permission.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from weakref import WeakSet

from appliance.cache.accounts import Bookkeeper, Uncounted
from appliance.cache.background import Background
from appliance.cache.collapse import Collapse
from appliance.cache.contents import Contents
from appliance.cache.fill import Fill, FillRestsError
from appliance.cache.janitor import Janitor
from appliance.cache.manifests import FoundManifest, Manifests
from appliance.cache.mending import Mender
from appliance.cache.readers import FillReader, HeldReader, Reader, StreamReader
from appliance.cache.scrub import Scrubber
from appliance.cache.sessions import Sessions
from appliance.cache.speeds import Speeds
from appliance.cache.tally import Count, Tally
from appliance.cache.turns import Turns
from appliance.policy.backoff import choose_mismatch_pause
from appliance.policy.eviction import Budget
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown, RangeNotSatisfiable, Unavailable
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.faults import DigestMismatchError, StoreError, StoreFullError
from appliance.store.store import Store
from appliance.upstream.source import ManifestRequest, OriginUnreachableError, Refusal, Source

# Bodies that go past the store at once; others wait, as for a fill. Each is a connection of its own
# to the origin, and half a megabyte of buffers.
STREAMS_MAX = 64
# Room is judged while others begin and end, so what was made for one may be gone when it comes.
ROOM_TRIES_MAX = 4
LOOK_SECONDS = 1.0  # At the sessions: their speed and state are as old as that.
SAVE_SECONDS = 5.0  # Between two steps of the counts to disk: what a crash may leave uncounted.

_log = logging.getLogger("cache")


class Cache:
    """The store in front of the sources. Use with `async with`; it owns the fills."""

    def __init__(
        self,
        store: Store,
        source_for: Callable[[Repository], Source],
        *,
        now: Callable[[], float],
        fresh_seconds: float,
        budget: Callable[[], Budget],
        uncounted: Uncounted,
        connections: int = 1,
        client_days: int = 0,
        scrub_days: float = 0,
    ) -> None:
        """`connections` is how many requests at once the origin is to see, all fills together.

        `client_days` is for how long is kept which client was given how much; 0: not at all. Every
        byte held is read again within `scrub_days`; 0: never.
        """
        self.books = Bookkeeper(store, uncounted, now=now, client_days=client_days)
        self.contents = Contents(store)
        self.sessions = Sessions(store, self.books.clients, now=now)
        self.speeds = Speeds(self.books.tally)
        self._store = store
        self._source_for = source_for
        self._now = now
        self._fresh_seconds = fresh_seconds
        self.janitor = Janitor(
            store,
            budget=budget,
            filling=lambda: tuple(self._fills),
            own=uncounted.digests,
            tally=self.books.tally,
        )
        self.mender = Mender(
            store, tally=self.books.tally, now=now, fill=self._mend, spoil=self._spoil
        )
        self.scrubber = Scrubber(
            store,
            self.mender,
            days=scrub_days,
            own=uncounted.digests,
            tally=self.books.tally,
            now=now,
            is_busy=lambda: bool(self._fills or self._held_readers),
        )
        self.background = Background(store, fills=lambda: self.fills, resume=self.resume)
        self._held_readers: WeakSet[HeldReader] = WeakSet()
        self._connections = connections
        self._turns = Turns()
        self._past_the_store = asyncio.Semaphore(STREAMS_MAX)
        self._fills: dict[Digest, Fill] = {}
        self._mismatches: dict[Digest, int] = {}  # In a row.
        self._paused_until: dict[Digest, float] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> "Cache":
        await self._group.__aenter__()
        self._collapse = Collapse(self._group)
        self._manifests = Manifests(
            self._store,
            self._source_for,
            self._collapse,
            self.books.tally_for,
            now=self._now,
            fresh_seconds=self._fresh_seconds,
        )
        chores = (
            *(self._save_sometimes(), self._look_at_sessions(), self.janitor.keep_watch()),
            *(self.scrubber.patrol(), self.mender.keep_trying()),
        )
        self._chores = [self._group.create_task(each) for each in chores]
        return self

    async def __aexit__(self, *_: object) -> None:
        for chore in self._chores:
            chore.cancel()
        self._collapse.cancel()
        for task in self._running:
            task.cancel()
        await self._group.__aexit__(None, None, None)
        for fill in self.fills:  # Of tasks that were cancelled before their first step.
            await asyncio.to_thread(fill.abandon)
        self.sessions.look()
        await asyncio.to_thread(self.books.save)

    @property
    def fills(self) -> tuple[Fill, ...]:
        """The fills under way."""
        return tuple(self._fills.values())

    def find_fill(self, digest: Digest) -> Fill | None:
        """The fill under way of this blob, if there is one."""
        return self._fills.get(digest)

    async def open_manifest(
        self, reference: Reference, request: ManifestRequest
    ) -> FoundManifest | Refusal:
        """Find a manifest; raises what Manifests.open raises."""
        return await self._manifests.open(reference, request)

    def note_given(self, client_address: str, reference: Reference, digest: Digest) -> None:
        """A client was given a manifest in answer to a GET."""
        if not self.books.is_own(reference.repository):
            self.books.note_pulled(reference)
            self.sessions.note_manifest(client_address, reference, digest)

    def watch(
        self, client_address: str, repository: Repository, digest: Digest, reader: Reader
    ) -> Reader:
        """The same reader, for a client whose pull is to be seen; takes ownership of it."""
        if self.books.is_own(repository):
            return reader
        return self.sessions.watch(client_address, repository, digest, reader)

    def is_listed(self, repository: Repository, digest: Digest) -> bool:
        """Whether a stored manifest of `repository` lists the blob."""
        return self._store.lists(repository, digest) is not None

    def is_held(self, digest: Digest) -> bool:
        """Whether the blob is here, whole."""
        return self._store.find_blob(digest) is not None

    async def fetch_chunksums(self, repository: Repository, digest: Digest) -> bytes | Refusal:
        """The origin's own chunksums. Raises OriginUnreachableError."""
        return await self._collapse.run(
            ("chunksums", repository, digest),
            lambda: self._source_for(repository).fetch_chunksums(repository, digest),
        )

    async def find_blob_size(self, repository: Repository, digest: Digest) -> int | Refusal:
        """The blob's size in bytes under this repository, or the origin's word that it has none.

        Raises:
            Unavailable: no stored manifest lists it, and the origin cannot be asked.
        """
        size_bytes = self._store.lists(repository, digest)
        if size_bytes is not None:
            return size_bytes
        try:
            return await self._collapse.run(
                (repository, digest),
                lambda: self._source_for(repository).fetch_blob_size(repository, digest),
            )
        except OriginUnreachableError as error:
            raise Unavailable(f"no stored manifest lists {digest}, and {error}") from error

    async def open_blob(
        self,
        repository: Repository,
        digest: Digest,
        size_bytes: int,
        span: Span,
        *,
        is_patient: bool = False,
        is_background: bool = False,
    ) -> Reader:
        """Open a span of a blob that may be served; the caller closes the reader.

        `is_patient`: whoever asks rather waits for the first byte than for the last (turns.py).
        `is_background`: no client asks (background.py).

        Raises:
            RangeNotSatisfiable: the blob held is shorter than the span.
            Unavailable: the origin's bytes were wrong a moment ago.
        """
        tally = self.books.tally_for(repository)
        self.janitor.note_used(digest)
        source = self._source_for(repository)
        rest = StreamReader(
            source, repository, digest, span, size_bytes, tally, self._past_the_store
        )
        if self.mender.is_condemned(digest, span):
            tally.add(Count.BLOB_MISSES)
            return rest
        held = self._open_held(digest, span, tally)
        if held is not None:
            tally.add(Count.BLOB_HITS)
            return held
        tally.add(Count.BLOB_MISSES)
        try:
            fill, status = await self._join_or_make_room(
                repository, digest, size_bytes, source, is_patient=is_patient
            )
            if fill.pending.size_bytes != size_bytes:
                return rest  # Two manifests disagree: neither waits for the other's bytes.
            return FillReader(fill, rest, status, tally, is_client=not is_background)
        except (StoreError, OSError) as fault:
            _log.warning("streaming %s past the store: %s", digest, fault)
            return rest

    def resume(self) -> int:
        """Go on with what an earlier life left unfinished; return how many blobs that is."""
        if self.background.is_paused:
            return 0
        count = 0
        for note in self._store.unfinished():
            source = self._source_for(note.repository)
            try:
                self._join(note.repository, note.digest, note.size_bytes, source)
                count += 1
            except (StoreError, OSError, Unavailable) as fault:
                _log.warning("%s stays unfinished: %s", note.digest, fault)
        return count

    def _open_held(self, digest: Digest, span: Span, tally: Tally) -> HeldReader | None:
        record = self._store.find_blob(digest)
        if record is None:
            return None
        if span.stop > record.size_bytes:
            raise RangeNotSatisfiable(record.size_bytes)
        try:
            file_fd = self._store.open_blob(digest)
        except BlobUnknown:  # Its file was lost or cut short; the record is gone by now.
            return None
        reader = HeldReader(digest, span, record.size_bytes, file_fd, tally)
        self._held_readers.add(reader)
        return reader

    def _spoil(self, digest: Digest, bad: SpanSet) -> None:
        """Cut short those who are sent any of the bad spans."""
        for reader in tuple(self._held_readers):
            if reader.digest == digest and list(bad.missing(reader.span)) != [reader.span]:
                reader.spoil()

    async def _mend(self, repository: Repository, digest: Digest, size_bytes: int) -> Fill:
        if self.background.is_paused:
            raise Unavailable(str(FillRestsError()))
        source = self._source_for(repository)
        fill, _ = await self._join_or_make_room(repository, digest, size_bytes, source)
        return fill

    async def _join_or_make_room(
        self,
        repository: Repository,
        digest: Digest,
        size_bytes: int,
        source: Source,
        *,
        is_patient: bool = False,
    ) -> tuple[Fill, CacheStatus]:
        for _ in range(ROOM_TRIES_MAX):
            try:
                return self._join(repository, digest, size_bytes, source, is_patient=is_patient)
            except StoreFullError as fault:
                if not await self.janitor.make_room(fault.needed_bytes):
                    raise
        return self._join(repository, digest, size_bytes, source, is_patient=is_patient)

    def _join(
        self,
        repository: Repository,
        digest: Digest,
        size_bytes: int,
        source: Source,
        *,
        is_patient: bool = False,
    ) -> tuple[Fill, CacheStatus]:
        fill = self._fills.get(digest)
        if fill is not None and not fill.is_over:
            if not is_patient:
                self._turns.hurry(digest)
            return fill, CacheStatus.COLLAPSED  # Its descriptor is open until it is over.
        if self._now() < self._paused_until.get(digest, 0.0):
            raise Unavailable(f"the origin's bytes of {digest} were not that blob's a moment ago")
        # The box's own model is a few kilobytes and may use the floor: full, it still serves.
        budget = self.janitor.budget()
        is_own = self.books.is_own(repository)
        pending = self._store.begin(
            digest,
            size_bytes,
            repository,
            min_free_bytes=0 if is_own else budget.min_free_bytes,
            max_size_bytes=None if is_own else budget.max_size_bytes,
        )
        status = CacheStatus.PARTIAL if pending.held else CacheStatus.MISS
        try:
            fill = Fill(
                pending,
                source,
                self.books.tally_for(repository),
                now=self._now,
                connections=self._share,
            )
        except OSError:  # No descriptor left for it.
            pending.suspend()
            raise
        self._fills[digest] = fill
        task = self._group.create_task(self._run(digest, fill, is_patient=is_patient))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return fill, status

    def _share(self) -> int:
        """The connections of one fill among those that run now; at least one."""
        return max(1, self._connections // max(1, self._turns.running_count))

    async def _save_sometimes(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            await asyncio.to_thread(self.books.save)

    async def _look_at_sessions(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.sessions.look()
            self.speeds.look(time.monotonic())
            self.background.look(time.monotonic())

    async def _run(self, digest: Digest, fill: Fill, *, is_patient: bool) -> None:
        try:
            async with self._turns.taken(digest, is_patient=is_patient):
                await fill.run()
        finally:
            del self._fills[digest]
        if fill.fault is None:
            self._mismatches.pop(digest, None)
            _log.info("filled %s (%d bytes)", digest, fill.pending.size_bytes)
            return
        level = logging.INFO if isinstance(fill.fault, FillRestsError) else logging.WARNING
        _log.log(level, "fill of %s ended: %s", digest, fill.fault)
        if isinstance(fill.fault, DigestMismatchError):
            count = self._mismatches[digest] = self._mismatches.get(digest, 0) + 1
            self._paused_until[digest] = self._now() + choose_mismatch_pause(count)
