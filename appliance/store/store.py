"""The store: what the rooms above see of the state directory.

One process has it open at a time. Look-ups (`find_`, `lists`) take microseconds and may be made on
the event loop; whatever writes, syncs or hashes blocks, and belongs on a thread. All of it may be
called from any thread.
"""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.policy.eviction import Holding
from appliance.policy.learning import Subject
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.agenda import Agenda
from appliance.store.blobs import Blobs
from appliance.store.checksums import check_spans, read_checksums, write_checksums
from appliance.store.disk import Disk
from appliance.store.faults import StoreFullError, StoreUnmarkedError
from appliance.store.layout import Layout
from appliance.store.ledger import Ledger
from appliance.store.manifests import Manifests, PublishStep
from appliance.store.marker import is_marked
from appliance.store.models import ModelRow, list_holdings, list_models
from appliance.store.opening import open_parts
from appliance.store.pending import PendingBlob
from appliance.store.premises import Premises
from appliance.store.records import (
    BlobRecord,
    Checksums,
    PendingNote,
    ScrubMark,
    TagMove,
    TagRecord,
    TokenRecord,
)
from appliance.store.recovery import Recovery
from appliance.store.shelf import Shelf, WithdrawStep
from appliance.store.verify import VerifyReport, verify


def open_store(root: Path, *, disk: Disk | None = None, mount_point: Path | None = None) -> "Store":
    """Make or open the store at `root`: lock it, check that it is the right one, recover. Blocks.

    Raises:
        DiskUnmountedError: the disk that it belongs on is not mounted, by `mount_point` or fstab.
        StoreLockedError: another process has it open.
        StoreUnmarkedError: it was used before, and its marker is gone or another store's.
        StoreOnNetworkError: it lies on another machine's disk.
        LedgerDamagedError: the ledger cannot be read.
        StoreFullError: there is not even room to open it.
    """
    with contextlib.ExitStack() as undo:
        parts = open_parts(Layout(root.absolute()), disk or Disk(), undo, mount_point)
        store = Store(*parts)
        undo.pop_all()
        return store


def _unobserved(_: WithdrawStep) -> None: ...


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Sizes in bytes. Manifests are counted once for each repository that has them.

    `reserved_bytes` is what the fills under way have yet to write.
    """

    blob_count: int
    blob_size_bytes: int
    manifest_count: int
    pending_count: int
    pending_held_bytes: int
    reserved_bytes: int
    free_bytes: int
    quarantined_count: int


class Store:
    """An open store. Made by `open_store`."""

    def __init__(
        self, premises: Premises, ledger: Ledger, store_id: str, lock_fd: int, told: Iterable[str]
    ) -> None:
        """Recover, which blocks. Takes over `ledger`, the index and the lock."""
        self.root = premises.layout.root
        self._premises = premises
        self._catalog = premises.catalog
        self._ledger = ledger
        self.agenda = Agenda(ledger)
        self._store_id = store_id
        self._lock_fd = lock_fd
        recovery = Recovery(premises, ledger)
        self._shelf = Shelf(premises, recovery.run())
        self._blobs = Blobs(premises)
        self._manifests = Manifests(premises, ledger)
        self.recovery: tuple[str, ...] = (*told, *recovery.told)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Suspend what is pending, close everything, let go of the lock. Once; blocks."""
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, self._lock_fd)
            closing.callback(self._ledger.close)
            closing.callback(self._catalog.close)
            self._shelf.suspend_all()

    def is_present(self) -> bool:
        """Whether the directory still is this store: False once its disk was taken away."""
        return is_marked(self._premises.layout, self._store_id)

    # Blobs.

    def find_blob(self, digest: Digest) -> BlobRecord | None:
        """The record of a complete blob."""
        return self._catalog.find_blob(digest)

    def open_blob(self, digest: Digest) -> int:
        """A read-only descriptor of a complete blob; the caller closes. Raises BlobUnknown."""
        return self._blobs.open(digest)

    def read_checksums(self, digest: Digest) -> Checksums | None:
        """The checksums of a complete blob; None where there are none. Raises BlobUnknown."""
        return read_checksums(self._premises.layout, self._blobs.record(digest))

    def check_blob(
        self, digest: Digest, start: int = 0
    ) -> Generator[tuple[Span, bool | None], None, None]:
        """Read a complete blob span by span: which are right? Each step blocks for a span.

        See `check_spans`; `start` is where an earlier check came to.

        Raises:
            BlobUnknown: the store does not hold it, or let it go meanwhile.
        """
        record, fd = self._blobs.record(digest), self._blobs.open(digest)
        try:
            layout, prove = self._premises.layout, partial(self._keep_checksums, digest)
            for checked in check_spans(layout, record, fd, start, prove=prove):
                if os.fstat(fd).st_nlink == 0:
                    raise BlobUnknown(f"{digest} was let go of")
                yield checked
        finally:
            os.close(fd)

    def _keep_checksums(self, digest: Digest, checksums: Checksums) -> None:
        """Of a blob of an earlier version; one whose disk is full goes on without."""
        if self.find_blob(digest) is not None:
            with contextlib.suppress(StoreFullError):
                write_checksums(self._premises, digest, checksums)

    def withdraw(
        self,
        digest: Digest,
        bad: SpanSet,
        repository: Repository,
        *,
        on_step: Callable[[WithdrawStep], None] = _unobserved,
    ) -> None:
        """Take a damaged blob back among the unfinished, all but its `bad` spans held. Blocks.

        A fill that begins it fetches those for `repository`. Whoever has it open reads on, and may
        read wrong bytes until they are written again in place.

        Raises:
            BlobUnknown: the store does not hold it.
            StoreFullError: the disk is full.
        """
        self._shelf.withdraw(self._blobs.record(digest), bad, repository, on_step)

    def quarantine(self, digest: Digest) -> None:
        """Set aside a blob of which nothing is known to be right, if it is held. Blocks."""
        if self.find_blob(digest) is not None:
            self._blobs.quarantine(digest)

    def blobs(self) -> list[BlobRecord]:
        """Every complete blob, in the order of digests."""
        return sorted(self._catalog.blobs(), key=lambda record: record.digest.encoded)

    def find_lister(self, digest: Digest) -> Repository | None:
        """A repository of which a stored manifest lists the blob. Looks at every manifest."""
        manifests = self._catalog.manifests()
        listing = (each for each in manifests if digest in dict(each.blobs))
        return next((each.repository for each in listing), None)

    def begin(
        self,
        digest: Digest,
        size_bytes: int,
        repository: Repository,
        *,
        min_free_bytes: int,
        max_size_bytes: int | None = None,
    ) -> PendingBlob:
        """Open a pending blob, new or as an earlier fill or life left it, and reserve its space.

        Neither a blob that is held nor one that is open already may be begun.

        Raises:
            StoreUnmarkedError: the disk was taken away; what it was mounted on is not the store.
            StoreFullError: less than `min_free_bytes` would remain free, or the store would hold
                more than `max_size_bytes`.
        """
        if not self.is_present():
            raise StoreUnmarkedError(self.root, "its marker is gone")
        return self._shelf.begin(
            digest,
            size_bytes,
            repository,
            min_free_bytes=min_free_bytes,
            max_size_bytes=max_size_bytes,
        )

    def drop_pending(self, digest: Digest) -> None:
        """Let go of what an earlier fill left, unless somebody has begun it again. Blocks."""
        self._shelf.drop(digest)

    def sizes(self) -> dict[Digest, int]:
        """The bytes on disk of every blob, complete or at rest."""
        held = {each.digest: each.size_bytes for each in self._catalog.blobs()}
        return held | {each.digest: each.held.size_bytes for each in self._shelf.resting()}

    def unfinished(self) -> tuple[PendingNote, ...]:
        """What an earlier fill or life left, and nobody has begun again."""
        return self._shelf.resting()

    def discard_blob(self, digest: Digest) -> None:
        """Let a blob go, if it is held. Whoever has it open reads on."""
        self._blobs.discard(digest)

    # Manifests and tags.

    def find_tag(self, reference: Reference, accept: str) -> TagRecord | None:
        """Which manifest was answered to (`reference`, `accept`)."""
        return self._catalog.find_tag(reference, accept)

    async def read_manifest(self, digest: Digest) -> bytes | None:
        """A manifest's bytes, checked; a damaged one is removed with its tags, and None."""
        return await self._manifests.read(digest)

    async def write_manifest(
        self,
        record: TagRecord,
        content: bytes,
        *,
        on_step: Callable[[PublishStep], None] | None = None,
    ) -> None:
        """Publish `content` as the answer that `record` describes. `on_step` is called on a thread.

        Raises:
            ManifestMalformedError: it is no manifest; nothing was stored.
            DigestMismatchError: it is not the one that `record` names; nothing was stored.
            StoreFullError: the disk is full.
        """
        await self._manifests.write(record, content, on_step)

    def note_checked(self, record: TagRecord, checked_at: float) -> None:
        """Remember that the origin confirmed `record`. Lost with the index, which is harmless."""
        self._catalog.note_checked(record, checked_at)

    def lists(self, repository: Repository, digest: Digest) -> int | None:
        """The size that a stored manifest of `repository` gives the blob; None if none lists it."""
        return self._catalog.lists(repository, digest)

    def list_blobs(self, repository: Repository, digest: Digest) -> dict[Digest, int]:
        """Each blob of a stored manifest, with its size in bytes; none where it is not stored."""
        manifest = self._catalog.find_manifest(repository, digest)
        return dict(manifest.blobs) if manifest else {}

    def models(self) -> list[ModelRow]:
        """Every stored tag, in the order of names. Some 50 ms for a thousand."""
        return list_models(self._catalog, self._ledger, self._shelf.held_of)

    def holdings(self) -> list[Holding]:
        """Every stored manifest with what it lists, as eviction sees it."""
        return list_holdings(self._catalog, self._ledger)

    def forget_tag(self, reference: Reference) -> None:
        """Let go of a tag, and of its manifests where no other tag names them. Blocks."""
        self._manifests.forget_tag(reference)

    def forget_manifest(self, repository: Repository, digest: Digest) -> None:
        """Let go of a manifest and of the tags that name it, not of its blobs. Blocks."""
        self._manifests.forget(repository, digest)

    # What only the ledger knows.

    def pin(self, reference: Reference) -> None:
        """Never evict what `reference` names, now or later. Blocks."""
        self._ledger.pin(reference)

    def unpin(self, reference: Reference) -> None:
        """Let it be evicted when its turn comes. Blocks."""
        self._ledger.unpin(reference)

    def pins(self) -> set[str]:
        """The texts of the pinned references, held or not."""
        return self._ledger.pins()

    def note_pulled(self, reference: Reference, at: float) -> None:
        """Count one pull of `reference`."""
        self._ledger.note_pulled(reference, at)

    def tag_moves(self, reference: Reference) -> list[TagMove]:
        """Oldest first."""
        return self._ledger.moves(reference)

    def scrub_mark(self) -> ScrubMark | None:
        """Where an earlier life's scrub stood."""
        return self._ledger.scrub_mark

    def note_scrubbed(self, mark: ScrubMark) -> None:
        """Remember where the scrub stands. Blocks."""
        self._ledger.note_scrubbed(mark)

    def add_totals(self, hour: str, counts: Mapping[str, int], *, kept_from: str = "") -> None:
        """Add to the counts of `hour` (YYYY-MM-DDTHH), its day and all days.

        Hours before `kept_from` are forgotten; days are not.
        """
        self._ledger.add_totals(hour, counts, kept_from=kept_from)

    def totals(self) -> dict[str, int]:
        return self._ledger.totals()

    def totals_by_day(self) -> dict[str, dict[str, int]]:
        return self._ledger.totals_by_day()

    def totals_by_hour(self) -> dict[str, dict[str, int]]:
        return self._ledger.totals_by_hour()

    def add_client_totals(self, day: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add to the counts of `day` by client address."""
        self._ledger.add_client_totals(day, counts)

    def client_totals(self) -> dict[str, dict[str, int]]:
        """By client address, over all days that are kept."""
        return self._ledger.client_totals()

    def forget_clients(self, *, kept_from: str) -> None:
        """Forget what was counted by client address on days before `kept_from`."""
        self._ledger.forget_clients(kept_from=kept_from)

    def lessons(self) -> dict[Subject, float]:
        """What was learnt of clients, and when."""
        return self._ledger.lessons()

    def replace_lessons(self, lessons: Mapping[Subject, float]) -> None:
        """Keep exactly these."""
        self._ledger.replace_lessons(lessons)

    def record_token(self, record: TokenRecord, *, now: float) -> None:
        """Remember a token that was given out, or that is revoked. Blocks."""
        self._ledger.record_token(record, now=now)

    def find_token(self, token_id: str) -> TokenRecord | None:
        return self._ledger.find_token(token_id)

    def tokens(self) -> list[TokenRecord]:
        """The tokens given out that may still be good, and those revoked before their time."""
        return self._ledger.tokens()

    # The whole.

    def stats(self) -> StoreStats:
        layout = self._premises.layout
        return StoreStats(
            self._catalog.blob_count,
            self._catalog.blob_size_bytes,
            self._catalog.manifest_count,
            self._shelf.count,
            self._shelf.held_size_bytes,
            self._shelf.reserved_bytes,
            self._premises.disk.free_bytes(self.root),
            sum(1 for _ in layout.quarantine.iterdir()),
        )

    def verify(self, note_read: Callable[[int], None] = lambda _: None) -> VerifyReport:
        """Read everything and tell what is wrong with it. Blocks for as long as that takes."""
        return verify(self._premises, note_read)
