"""Small models to store, and the ways tests store them."""

import json
from pathlib import Path

from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Reference, Repository
from appliance.store.catalog import Catalog
from appliance.store.disk import Disk
from appliance.store.layout import Layout
from appliance.store.opening import make_tree
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, TagRecord
from appliance.store.store import Store

TINY = Repository("library", "tiny")
LATEST = Reference(TINY, "latest")
NOON = 1_700_000_000.123456
CONTENT = bytes(range(256)) * 40


def manifest_of(*blobs: bytes) -> bytes:
    """A manifest that lists `blobs`."""
    layers = [
        {"mediaType": "application/x", "digest": str(digest_of(blob)), "size": len(blob)}
        for blob in blobs
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers}).encode()


def tag_of(
    manifest: bytes,
    reference: Reference = LATEST,
    accept: str = MANIFEST_TYPE,
    stored_at: float = NOON,
) -> TagRecord:
    """The record under which `manifest` is stored."""
    digest, size = digest_of(manifest), len(manifest)
    return TagRecord(
        reference, accept, digest, size, MANIFEST_TYPE, (0, 12, 6), stored_at, stored_at
    )


def store_blob(store: Store, content: bytes, *, at: float = NOON) -> BlobRecord:
    """Commit `content`."""
    pending = store.begin(digest_of(content), len(content), TINY, min_free_bytes=0)
    pending.write(0, content)
    return pending.commit(stored_at=at)


def plant(path: Path, content: bytes) -> None:
    """Put a file where the store keeps such files, behind its back."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def premises_at(root: Path, disk: Disk | None = None) -> Premises:
    """The ground of a store that nobody has locked; close its catalog."""
    layout, disk = Layout(root), disk or Disk()
    make_tree(layout, disk)
    return Premises(layout, disk, Catalog(layout.index))
