"""Complete blobs: open one, let one go, set one aside, hash one again.

A blob's record is written last and removed first. So a record without a file is a fault of
somebody else's, and a file without a record is unfinished work that recovery takes up.
"""

import os
from pathlib import Path

from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown
from appliance.store.disk import Disk
from appliance.store.layout import Layout
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord


class Blobs:
    """The files under `blobs/` and their records."""

    def __init__(self, premises: Premises) -> None:
        self._layout = premises.layout
        self._disk = premises.disk
        self._catalog = premises.catalog

    def record(self, digest: Digest) -> BlobRecord:
        """The record of a complete blob. Raises BlobUnknown."""
        record = self._catalog.find_blob(digest)
        if record is None:
            raise BlobUnknown(f"{digest} is not held")
        return record

    def open(self, digest: Digest) -> int:
        """Open a complete blob for reading; the caller closes.

        A file that is gone, or not of its recorded size, is set right and not held.

        Raises:
            BlobUnknown: the store does not hold it.
        """
        record = self.record(digest)
        try:
            fd = os.open(self._layout.blob(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            self._catalog.forget_blobs([digest])
            raise BlobUnknown(f"{digest} is no longer held") from error
        if os.fstat(fd).st_size != record.size_bytes:
            os.close(fd)
            self.quarantine(digest)
            raise BlobUnknown(f"{digest} is no longer held")
        return fd

    def discard(self, digest: Digest) -> None:
        """Let the blob go, record first. Whoever has it open reads on."""
        self._catalog.forget_blobs([digest])
        self._disk.remove(self._layout.blob(digest))
        self._disk.remove(self._layout.checksums(digest))

    def quarantine(self, digest: Digest) -> None:
        """Set the file aside, record first: it is not what its name says."""
        self._catalog.forget_blobs([digest])
        quarantine(self._layout, self._disk, digest, self._layout.blob(digest))


def record_of(digest: Digest, status: os.stat_result) -> BlobRecord:
    """The record that the file itself bears witness to: commit stamped it with `stored_at`."""
    return BlobRecord(digest, status.st_size, status.st_mtime_ns / 10**9)


def quarantine(layout: Layout, disk: Disk, digest: Digest, path: Path) -> None:
    """Move `path` to quarantine, in place of what was there under this digest.

    Wrong bytes are kept because they tell a captive portal from a failing disk, but only the last
    ones of each digest, and only while their space is not needed (`empty_quarantine`).
    """
    disk.rename(path, layout.quarantined(digest))
    disk.sync_directory(path.parent)
    disk.sync_directory(layout.quarantine)


def take_back(layout: Layout, disk: Disk, digest: Digest) -> None:
    """Move a blob's file, whose record is gone, back to `pending/`, where its note is already."""
    disk.rename(layout.blob(digest), layout.pending_bytes(digest))
    disk.sync_directory(layout.pending)
    disk.sync_directory(layout.blob(digest).parent)
    disk.remove(layout.checksums(digest))


def empty_quarantine(layout: Layout, disk: Disk) -> None:
    """Give the space of all that was set aside to blobs that are wanted."""
    for path in layout.quarantine.iterdir():
        disk.remove(path)
