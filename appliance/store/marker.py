"""The marker: how a box knows that the disk under its state directory is the right one.

The file holds the store's id, and the ledger remembers the same id. A directory in which the box
has worked before always has both, so blobs or a ledger without a marker, or with another store's,
mean that something is mounted wrongly, or not at all. That is never taken for an empty cache: it
would be filled again from the Internet, and hide the disk when that comes back.

A state directory that is wholly empty is a new one, as far as anybody can tell from inside it;
mounts.py knows where the system says that a disk belongs there.
While the box runs `is_marked` tells whether the directory is still there.
"""

import json
import secrets

from appliance.store.disk import Disk, write_whole
from appliance.store.faults import StoreUnmarkedError
from appliance.store.layout import Layout

FORMAT = 1  # Of the whole tree in layout.py. A marker with another is somebody else's tree.
MARKER_SIZE_BYTES_MAX = 4096  # Ours has about 60.


def read_marker(layout: Layout) -> str | None:
    """The id in the marker; None where there is no marker or it is not one of ours."""
    try:
        with layout.marker.open("rb") as file:
            document = json.loads(file.read(MARKER_SIZE_BYTES_MAX))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        return None
    store_id = document.get("store")
    return store_id if isinstance(store_id, str) and store_id else None


def find_marker(layout: Layout) -> str | None:
    """The id of the store at `layout`, or None where the directory was never used. Only looks.

    Raises:
        StoreUnmarkedError: it was used, and has no readable marker.
    """
    store_id = read_marker(layout)
    if store_id is None and layout.marker.exists():
        raise StoreUnmarkedError(layout.root, "its marker cannot be read")
    if store_id is None and _is_used(layout):
        raise StoreUnmarkedError(layout.root, "its marker is missing")
    return store_id


def settle_marker(layout: Layout, disk: Disk) -> str:
    """The id of the store at `layout`, made now if the directory was never used.

    Raises:
        StoreUnmarkedError: it was used, and has no readable marker.
    """
    store_id = find_marker(layout)
    if store_id is not None:
        return store_id
    store_id = secrets.token_hex(16)
    content = json.dumps({"format": FORMAT, "store": store_id}).encode()
    disk.remove(layout.marker_draft)
    write_whole(disk, layout.marker, content + b"\n", draft=layout.marker_draft)
    return store_id


def is_marked(layout: Layout, store_id: str) -> bool:
    """Whether the marker of `store_id` still stands."""
    return read_marker(layout) == store_id


def _is_used(layout: Layout) -> bool:
    """Whether anything of ours lies here. Other rooms' files (the CA, the secret) do not count."""
    ours = (layout.ledger, layout.blobs, layout.manifests, layout.tags, layout.pending)
    return any(path.exists() for path in ours)
