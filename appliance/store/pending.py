"""Pending blobs: bytes that are on disk and not yet believed.

Theory of operation. A pending blob is one sparse file under `pending/`, written at any offset by
its fill, with a note beside it of the spans that are surely on disk: a note is written only after
the bytes it speaks of were synced. It becomes a blob in seven steps, and a power cut between any
two of them leaves something that recovery can name:

    1 HELD              every byte was written
    2 VERIFIED          size and sha256 are the name's
    3 SYNCED            the bytes survive
    4 CHECKSUMMED       so do the checksums that will locate what rots of them
    5 RENAMED           into blobs/, under their own name
    6 DIRECTORY_SYNCED  the name survives
    7 RECORDED          the index knows: only now is it a blob

Cut before 5: still pending, and the next life goes on from the note. Cut after 5: a file without a
record; since 2 and 3 came before 5 its bytes are right, and recovery proves it and writes the
record. Step 7 is last, so that no record ever names bytes that might not be there.

Bytes once held are never written again: the first to arrive stay, because readers may have sent
them on and the running hash has seen them. `held` is replaced, never changed, so that readers on
another thread see either the old set or the new one. Writes run beside one another: each claims its
span first, and waits only for one that is at the same bytes.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto

from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Repository
from appliance.store.blobs import quarantine
from appliance.store.checksums import write_checksums
from appliance.store.encodings import (
    encode_pending,
)
from appliance.store.faults import DigestMismatchError, PendingClosedError, StoreFullError
from appliance.store.hashing import PrefixHash
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, PendingNote


class CommitStep(Enum):
    """What commit has just done."""

    HELD = auto()
    VERIFIED = auto()
    SYNCED = auto()
    CHECKSUMMED = auto()
    RENAMED = auto()
    DIRECTORY_SYNCED = auto()
    RECORDED = auto()


def _unobserved(_: CommitStep) -> None: ...


class PendingBlob:
    """One blob's bytes on their way in. Made by the shelf, which is told when it closes.

    Any thread may call. What ends it waits for the writes under way.
    """

    def __init__(
        self,
        premises: Premises,
        note: PendingNote,
        fd: int,
        on_closed: Callable[[PendingNote | None], None],
    ) -> None:
        """Take over `fd`. `on_closed` is called once, with what the next life will find."""
        self.digest: Digest = note.digest
        self.repository: Repository = note.repository
        self.size_bytes = note.size_bytes
        self.held = note.held
        self._premises = premises
        self._noted = note
        self._fd = fd
        self._on_closed = on_closed
        self._path = self._pending_path = premises.layout.pending_bytes(note.digest)
        self._prefix = PrefixHash()
        self._busy = threading.Condition()
        self._claims: list[Span] = []
        self._closing = threading.Lock()
        self._hashing = threading.Lock()
        self._end: str | None = None
        self._is_spent = False

    def open_reader(self) -> int:
        """A descriptor to read held spans from, the caller's to close; it outlives this object.

        Safe beside a commit. Raises PendingClosedError: look for the blob in the store then.
        """
        with self._closing:
            self._refuse_closed()
            return os.dup(self._fd)

    def write(self, offset: int, *chunks: bytes | bytearray | memoryview) -> None:
        """Put `chunks` at `offset`, end to end; bytes that are already held stay as they are.

        Raises:
            StoreFullError: the disk is full; what was held before is still held.
        """
        for chunk in chunks:
            if chunk:
                self._write(offset, memoryview(chunk).cast("B"))
            offset += len(chunk)

    def sync(self) -> None:
        """Make what is held now survive a power cut, and note it for the next life. Blocks.

        Raises:
            StoreFullError: the disk is full.
            OSError: the disk failed. The kernel may have dropped bytes and would say yes the next
                time it is asked, so after either nothing but `cancel` or `suspend` is left.
        """
        with self._busy:
            self._refuse_spent()
            note = PendingNote(self.digest, self.repository, self.size_bytes, self.held)
            if note == self._noted:
                return
            fd = os.dup(self._fd)
        try:  # Without the lock: a slow disk holds up no write meanwhile.
            self._sync_file(fd, self._premises.disk.sync_data)
        finally:
            os.close(fd)
        with self._busy:
            if self._end is None and note.held.size_bytes > self._noted.held.size_bytes:
                self._premises.put_file(
                    self._premises.layout.pending_note(self.digest), encode_pending(note)
                )
                self._noted = note

    def hash_along(self) -> None:
        """Bring the digest up to where the held beginning ends, so that commit need not. Blocks."""
        with self._busy:
            if self._end is not None:
                return
            fd = os.dup(self._fd)
        try:
            with self._hashing:
                self._prefix.catch_up(fd, self.held.held_from(self._prefix.position))
        finally:
            os.close(fd)

    def commit(
        self, *, stored_at: float, on_step: Callable[[CommitStep], None] = _unobserved
    ) -> BlobRecord:
        """Make it a blob. Blocks: reads back what was not hashed as it came, and syncs.

        Whatever is raised, nothing was published. After StoreFullError or OSError only `cancel` or
        `suspend` is left to do; after DigestMismatchError nothing is.

        Raises:
            DigestMismatchError: the bytes are other ones; they are in quarantine, and this is over.
            StoreFullError: the disk is full.
        """
        with self._alone():
            self._refuse_spent()
            assert self.held.size_bytes == self.size_bytes, "commit comes when all bytes are held"
            on_step(CommitStep.HELD)
            self._verify()
            on_step(CommitStep.VERIFIED)
            self._premises.disk.stamp(self._fd, stored_at)
            self._sync_file(self._fd, self._premises.disk.sync)
            on_step(CommitStep.SYNCED)
            record = BlobRecord(self.digest, self.size_bytes, stored_at)
            self._is_spent = True
            with self._premises.full_disk_named(0):
                self._publish(record, on_step)
            self._close("was committed", None)
            with contextlib.suppress(OSError):  # It is a blob: a note that stays is swept.
                self._premises.disk.remove(self._premises.layout.pending_note(self.digest))
            return record

    def cancel(self) -> None:
        """Drop the bytes. Does nothing once the blob is committed, cancelled or suspended."""
        with self._alone():
            if self._end is not None:
                return
            try:
                self._premises.disk.remove(self._premises.layout.pending_note(self.digest))
                self._premises.disk.remove(self._path)
            finally:  # What a disk does not let go of now, recovery sweeps.
                self._close("was cancelled", None)

    def suspend(self) -> None:
        """Close for now and keep what is held, synced, for the next life. Blocks.

        Does nothing once closed. With nothing held there is nothing to keep.
        """
        with self._alone():
            if self._end is not None:
                return
            if not self.held:
                self.cancel()
                return
            try:
                if not self._is_spent:
                    self.sync()
            finally:  # What an earlier sync noted is on disk, whatever became of this one.
                if self._noted.held and self._path == self._pending_path:
                    self._close("was suspended", self._noted)
                else:
                    self.cancel()

    def _write(self, offset: int, view: memoryview) -> None:
        span = Span(offset, offset + len(view))
        assert span.stop <= self.size_bytes, "a blob's bytes lie inside it"
        with self._claiming(span):
            gaps = tuple(self.held.missing(span))
            for gap in gaps:
                piece = view[gap.start - offset : gap.stop - offset]
                with self._premises.full_disk_named(len(piece)):
                    self._premises.disk.write_at(self._fd, piece, gap.start)
                with self._busy:
                    self.held = self.held.plus(gap)
        for gap in gaps:
            self._feed(gap.start, view[gap.start - offset : gap.stop - offset])

    @contextlib.contextmanager
    def _claiming(self, span: Span) -> Iterator[None]:
        """Be the only one to write there: who finds bytes missing may then write them."""
        with self._busy:
            while any(span.start < each.stop and each.start < span.stop for each in self._claims):
                self._busy.wait()
            self._refuse_spent()
            self._claims.append(span)
        try:
            yield
        finally:
            with self._busy:
                self._claims.remove(span)
                self._busy.notify_all()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold everything up, once the writes under way are done."""
        with self._busy:
            while self._claims:
                self._busy.wait()
            yield

    def _feed(self, offset: int, piece: memoryview) -> None:
        """Hash what comes in order at once; what `hash_along` is busy before is read back."""
        if self._hashing.acquire(blocking=False):
            try:
                self._prefix.feed(offset, piece)
            finally:
                self._hashing.release()

    def _verify(self) -> None:
        with self._hashing:
            self._prefix.catch_up(self._fd, self.size_bytes)
            actual = self._prefix.digest()
        if actual == self.digest and os.fstat(self._fd).st_size == self.size_bytes:
            return
        layout, disk = self._premises.layout, self._premises.disk
        disk.remove(layout.pending_note(self.digest))
        quarantine(layout, disk, self.digest, self._path)
        self._close("held other bytes than its digest names", None)
        raise DigestMismatchError(self.digest, actual)

    def _publish(self, record: BlobRecord, on_step: Callable[[CommitStep], None]) -> None:
        premises, target = self._premises, self._premises.layout.blob(self.digest)
        write_checksums(premises, self.digest, self._prefix.checksums())
        on_step(CommitStep.CHECKSUMMED)
        premises.make_shard(target)
        premises.disk.rename(self._path, target)
        self._path = target  # What a later `cancel` has to remove.
        on_step(CommitStep.RENAMED)
        premises.disk.sync_directory(target.parent)
        premises.disk.sync_directory(premises.layout.pending)
        on_step(CommitStep.DIRECTORY_SYNCED)
        premises.catalog.record_blobs([record])
        on_step(CommitStep.RECORDED)

    def _sync_file(self, fd: int, sync: Callable[[int], None]) -> None:
        try:
            with self._premises.full_disk_named(0):
                sync(fd)
        except (OSError, StoreFullError):
            self._is_spent = True
            raise

    def _refuse_closed(self) -> None:
        if self._end is not None:
            raise PendingClosedError(self.digest, self._end)

    def _refuse_spent(self) -> None:
        self._refuse_closed()
        if self._is_spent:
            raise PendingClosedError(self.digest, "failed to reach the disk")

    def _close(self, end: str, note: PendingNote | None) -> None:
        with self._closing:
            self._end = end
            os.close(self._fd)
        self._on_closed(note)
