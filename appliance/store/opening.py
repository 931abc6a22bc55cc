"""The way into a store: what is checked, in which order, before anything is believed.

    1 the disk is mounted, and marked    nothing is written below a mount point
    2 the file system is a local one     locks and maps can be relied upon
    3 the lock is ours                   nobody else writes
    4 the marker is there, or made       the right disk is mounted
    5 the ledger opens, and is of the same store
    6 the index opens, or is moved away and begun anew

The index is only a copy of what the files say, so anything odd about it costs a rebuild and no
question. Reading a damaged one may even kill the process: `index.opening` stands while it is first
read, and a start that finds it there from an earlier one does not try that index again.
"""

import contextlib
import os
import shutil
from pathlib import Path

from appliance.store.catalog import Catalog
from appliance.store.disk import Disk
from appliance.store.faults import EnvironmentDamagedError, StoreUnmarkedError
from appliance.store.layout import Layout
from appliance.store.ledger import Ledger
from appliance.store.lock import take_lock
from appliance.store.marker import find_marker, settle_marker
from appliance.store.mounts import refuse_network, refuse_unmounted
from appliance.store.premises import Premises


def look_for_store(layout: Layout, mount_point: Path | None = None) -> None:
    """Look whether a store may be opened or begun at `layout`, and change nothing.

    `mount_point` is where its disk is mounted, if the operator says so; else /etc/fstab does.

    Raises:
        DiskUnmountedError: the disk that it belongs on is not mounted.
        StoreUnmarkedError: it was used before, and its marker is gone.
    """
    if mount_point is not None:
        refuse_unmounted(layout.root, mount_point)
    if find_marker(layout) is None and mount_point is None:
        refuse_unmounted(layout.root, None)


def open_parts(
    layout: Layout, disk: Disk, undo: contextlib.ExitStack, mount_point: Path | None = None
) -> tuple[Premises, Ledger, str, int, list[str]]:
    """Open all that a Store is made of; `undo` closes it again.

    Returns the premises, the ledger, the store's id, the lock's descriptor, and what there is to
    tell about it. Raises what `open_store` does.
    """
    told: list[str] = []
    look_for_store(layout, mount_point)
    disk.make_directory(layout.root, parents=True)
    refuse_network(layout.root)
    lock_fd = take_lock(layout.lock, disk)
    undo.callback(os.close, lock_fd)
    is_used = layout.marker.exists()
    store_id = settle_marker(layout, disk)
    make_tree(layout, disk)
    ledger = Ledger(layout.ledger)
    undo.callback(ledger.close)
    if ledger.store_id is None:
        ledger.belong_to(store_id)
        if is_used:
            told.append("Began a new ledger, for there was none: totals and histories start anew.")
    elif ledger.store_id != store_id:
        raise StoreUnmarkedError(layout.root, "its marker is another store's")
    catalog = open_catalog(layout, disk, told)
    undo.callback(catalog.close)
    return Premises(layout, disk, catalog), ledger, store_id, lock_fd, told


def make_tree(layout: Layout, disk: Disk) -> None:
    """Make the directories that are missing, and their names durable."""
    made = [path for path in layout.directories() if disk.make_directory(path)]
    for parent in sorted({path.parent for path in made}):
        disk.sync_directory(parent)


def open_catalog(layout: Layout, disk: Disk, told: list[str]) -> Catalog:
    """Open the index; one that cannot be read is moved away, and an empty one takes its place."""
    if layout.index_opening.exists():
        _set_aside(layout, disk, told, "an earlier start died while reading it")
    else:
        os.close(disk.open_new(layout.index_opening))
    try:
        return Catalog(layout.index)
    except EnvironmentDamagedError as fault:
        _set_aside(layout, disk, told, str(fault))
        return Catalog(layout.index)
    finally:
        disk.remove(layout.index_opening)


def _set_aside(layout: Layout, disk: Disk, told: list[str], why: str) -> None:
    shutil.rmtree(layout.index_damaged, ignore_errors=True)
    disk.rename(layout.index, layout.index_damaged)
    disk.make_directory(layout.index)
    told.append(f"Moved the index to {layout.index_damaged.name}: {why}.")
