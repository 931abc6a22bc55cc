"""Which blobs are pending, and the space promised to them.

Theory of operation. Space is reserved before the first byte, by bookkeeping: what the open pending
blobs have yet to write is subtracted from what the file system says is free. posix_fallocate would
be the obvious way and is not one: where a file system cannot do it, libc writes zeros to every
block, and where one copies on write the promise is not kept. The bookkeeping does not bind other
programs on the same disk, so a write may still find it full; that is StoreFullError too.

A pending blob is open (somebody fills it) or at rest (an earlier fill stopped, or an earlier life
of the box): then only its note is kept in memory. Those at rest reserve nothing.
"""

import os
import threading
from collections.abc import Callable, Iterable
from enum import Enum, auto

from appliance.policy.scrubbing import find_good
from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.reference import Repository
from appliance.store.blobs import empty_quarantine, take_back
from appliance.store.encodings import encode_pending
from appliance.store.faults import StoreFullError
from appliance.store.pending import PendingBlob
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, PendingNote


class WithdrawStep(Enum):
    """What the withdrawal of a damaged blob has just done."""

    NOTED = auto()
    FORGOTTEN = auto()
    MOVED = auto()


class Shelf:
    """All pending blobs of one store."""

    def __init__(self, premises: Premises, resting: Iterable[PendingNote]) -> None:
        """`resting` is what recovery found to be sound."""
        self._premises = premises
        self._resting = {note.digest: note for note in resting}
        self._open: dict[Digest, PendingBlob] = {}
        self._lock = threading.RLock()

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._open) + len(self._resting)

    @property
    def held_size_bytes(self) -> int:
        with self._lock:
            held = [each.held for each in self._open.values()]
            held += [each.held for each in self._resting.values()]
        return sum(spans.size_bytes for spans in held)

    def held_of(self, digest: Digest) -> int:
        """The bytes on disk of a pending blob; 0 where there is none."""
        with self._lock:
            pending = self._open.get(digest) or self._resting.get(digest)
        return pending.held.size_bytes if pending else 0

    def resting(self) -> tuple[PendingNote, ...]:
        with self._lock:
            return tuple(self._resting.values())

    def begin(
        self,
        digest: Digest,
        size_bytes: int,
        repository: Repository,
        *,
        min_free_bytes: int,
        max_size_bytes: int | None = None,
    ) -> PendingBlob:
        """Open a pending blob, new or as an earlier fill left it, and reserve its space.

        Raises:
            StoreFullError: less than `min_free_bytes` would remain free, or the store would hold
                more than `max_size_bytes`.
        """
        with self._lock:
            assert digest not in self._open, "one fill a digest"
            assert self._premises.catalog.find_blob(digest) is None, "a blob held is not filled"
            note = self._resting.get(digest)
            if note is not None and note.size_bytes != size_bytes:
                self.drop(digest)
                note = None
            needed_bytes = size_bytes - (note.held.size_bytes if note else 0)
            self._reserve(needed_bytes, min_free_bytes)
            if max_size_bytes is not None:
                self._keep_within(needed_bytes, max_size_bytes)
            fd = self._open_bytes(digest, size_bytes, is_new=note is None)
            self._resting.pop(digest, None)
            note = note or PendingNote(digest, repository, size_bytes, SpanSet())
            pending = PendingBlob(
                self._premises, note, fd, lambda kept: self._on_closed(digest, kept)
            )
            self._open[digest] = pending
            return pending

    def withdraw(
        self,
        record: BlobRecord,
        bad: SpanSet,
        repository: Repository,
        on_step: Callable[[WithdrawStep], None],
    ) -> None:
        """Make a complete blob a pending one at rest, all but `bad` held.

        The note comes first. Cut before the record goes, it is swept, and the damage is found
        again. Cut before the file is moved, recovery finds an unrecorded blob that is wrong and a
        note that says what of it is right, and finishes the move.

        Raises:
            BlobUnknown: the blob was let go of meanwhile.
        """
        layout, digest = self._premises.layout, record.digest
        note = PendingNote(digest, repository, record.size_bytes, find_good(record.size_bytes, bad))
        assert note.held, "a blob without one good span is quarantined"
        with self._lock:
            if self._premises.catalog.find_blob(digest) is None:
                raise BlobUnknown(f"{digest} is not held")
            self._premises.put_file(layout.pending_note(digest), encode_pending(note))
            on_step(WithdrawStep.NOTED)
            self._premises.catalog.forget_blobs([digest])
            on_step(WithdrawStep.FORGOTTEN)
            try:
                take_back(layout, self._premises.disk, digest)
            except FileNotFoundError as error:
                self._premises.disk.remove(layout.pending_note(digest))
                raise BlobUnknown(f"{digest} was let go of") from error
            on_step(WithdrawStep.MOVED)
            self._resting[digest] = note

    def drop(self, digest: Digest) -> None:
        """Remove a pending blob at rest, its note first."""
        with self._lock:
            if self._resting.pop(digest, None) is not None:
                self._premises.disk.remove(self._premises.layout.pending_note(digest))
                self._premises.disk.remove(self._premises.layout.pending_bytes(digest))

    def suspend_all(self) -> None:
        """Close the open ones and keep what they hold. All are tried; the first fault is raised."""
        with self._lock:
            still_open = tuple(self._open.values())
        faults = [fault for each in still_open if (fault := _suspend(each)) is not None]
        if faults:
            raise faults[0]

    def _reserve(self, needed_bytes: int, min_free_bytes: int) -> None:
        if needed_bytes <= self._unpromised() - min_free_bytes:
            return
        empty_quarantine(self._premises.layout, self._premises.disk)
        spare_bytes = self._unpromised() - min_free_bytes
        if needed_bytes > spare_bytes:
            raise StoreFullError(self._premises.layout.root, needed_bytes, max(0, spare_bytes))

    def _keep_within(self, needed_bytes: int, max_size_bytes: int) -> None:
        spare_bytes = max_size_bytes - self._promised_size_bytes()
        if needed_bytes > spare_bytes:
            raise StoreFullError(self._premises.layout.root, needed_bytes, max(0, spare_bytes))

    @property
    def reserved_bytes(self) -> int:
        """What the open ones have yet to write."""
        with self._lock:
            return sum(each.size_bytes - each.held.size_bytes for each in self._open.values())

    def _promised_size_bytes(self) -> int:
        held_bytes = self._premises.catalog.blob_size_bytes + self.held_size_bytes
        return held_bytes + self.reserved_bytes

    def _unpromised(self) -> int:
        return self._premises.disk.free_bytes(self._premises.layout.root) - self.reserved_bytes

    def _open_bytes(self, digest: Digest, size_bytes: int, *, is_new: bool) -> int:
        path, disk = self._premises.layout.pending_bytes(digest), self._premises.disk
        if not is_new:
            return disk.open_again(path)
        fd = disk.open_new(path)
        try:
            disk.resize(fd, size_bytes)
        except BaseException:
            os.close(fd)
            disk.remove(path)
            raise
        return fd

    def _on_closed(self, digest: Digest, kept: PendingNote | None) -> None:
        with self._lock:
            del self._open[digest]
            if kept is not None and kept.held:
                self._resting[digest] = kept


def _suspend(pending: PendingBlob) -> Exception | None:
    try:
        pending.suspend()
    except Exception as fault:  # noqa: BLE001 - told by the caller, once all are closed.
        return fault
    return None
