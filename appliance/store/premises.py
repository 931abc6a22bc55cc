"""What every part of the store stands on: the tree, the disk, the index."""

import contextlib
import errno
import itertools
from collections.abc import Iterator
from pathlib import Path

from appliance.store.catalog import Catalog
from appliance.store.disk import Disk, write_whole
from appliance.store.faults import StoreFullError
from appliance.store.layout import Layout


class Premises:
    """One open store, as its parts see it."""

    def __init__(self, layout: Layout, disk: Disk, catalog: Catalog) -> None:
        self.layout = layout
        self.disk = disk
        self.catalog = catalog
        self._drafts = itertools.count()

    def put_file(self, path: Path, content: bytes) -> None:
        """Put a small file in place, durably: whole or not at all. Raises StoreFullError."""
        draft = self.layout.draft(next(self._drafts))
        with self.full_disk_named(len(content)):
            self.make_shard(path)
            write_whole(self.disk, path, content, draft=draft)

    def make_shard(self, path: Path) -> None:
        """Make the directory that `path` goes into, durably, if it is the first to go there."""
        if self.disk.make_directory(path.parent):
            self.disk.sync_directory(path.parent.parent)

    @contextlib.contextmanager
    def full_disk_named(self, needed_bytes: int) -> Iterator[None]:
        """Turn the errors of a full disk, or a used-up quota, into StoreFullError."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free_bytes = self.disk.free_bytes(self.layout.root)
            raise StoreFullError(self.layout.root, needed_bytes, free_bytes) from error
