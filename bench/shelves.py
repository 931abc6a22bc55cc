"""Stores that hold much without taking the disk: sparse blobs, and the records to match.

The index and the files agree, so a start finds nothing to mend. Nobody has hashed these blobs;
their names are numbers.
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE, parse_manifest
from appliance.protocol.reference import Reference, Repository
from appliance.store.catalog import Catalog
from appliance.store.encodings import encode_tag_file
from appliance.store.layout import Layout, tag_key
from appliance.store.manifests import manifest_record
from appliance.store.records import BlobRecord, TagRecord
from appliance.store.store import open_store


@dataclass(frozen=True, slots=True)
class Stock:
    """`models` models that list `blobs` blobs in all, each of `size_bytes`."""

    models: int
    blobs: int
    size_bytes: int = 1_000_000


def stock(root: Path, wanted: Stock) -> Digest:
    """Make a store at `root` that holds `wanted`; the first blob's digest. Blocks.

    The first model is `bench`, the others are numbered.
    """
    with open_store(root):
        pass  # It has made the directories, the marker and the ledger.
    layout, now = Layout(root.absolute()), time.time()
    digests = [_name(number) for number in range(wanted.blobs)]
    for digest in digests:
        _write(layout.blob(digest), size_bytes=wanted.size_bytes)
    tags, manifests = [], []
    for number in range(wanted.models):
        listed = digests[number :: wanted.models]
        content = _manifest(listed, wanted.size_bytes)
        model = f"bench-{number}" if number else "bench"
        reference = Reference(Repository("library", model), "latest")
        tag = _tag(reference, content, now)
        _write(layout.manifest(tag.digest), content)
        _write(layout.tag(tag_key(reference, tag.accept)), encode_tag_file(tag))
        tags.append(tag)
        record = parse_manifest(content)
        manifests.append(manifest_record(reference.repository, tag.digest, content, record))
    catalog = Catalog(layout.index)
    try:
        catalog.record_blobs(BlobRecord(each, wanted.size_bytes, now) for each in digests)
        catalog.settle(tags, manifests)
    finally:
        catalog.close()
    return digests[0]


def _name(number: int) -> Digest:
    return Digest(hashlib.sha256(f"blob {number}".encode()).hexdigest())


def _write(path: Path, content: bytes = b"", size_bytes: int | None = None) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        if size_bytes is not None:
            file.truncate(size_bytes)


def _manifest(digests: list[Digest], size_bytes: int) -> bytes:
    layers = [
        {"mediaType": "application/x", "digest": str(each), "size": size_bytes} for each in digests
    ]
    document = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": layers}
    return json.dumps(document).encode()


def _tag(reference: Reference, content: bytes, now: float) -> TagRecord:
    return TagRecord(
        reference=reference,
        accept=MANIFEST_TYPE,
        digest=digest_of(content),
        size_bytes=len(content),
        content_type=MANIFEST_TYPE,
        client_version_lowest=None,
        stored_at=now,
        checked_at=now,
    )
