"""Where everything lies under the state directory. Nobody else joins paths.

    state_dir/
    ├── marker                      whose directory this is: a store's id
    ├── lock                        held by the one process that may write; its pid
    ├── blobs/sha256/ab/<hex>       a blob: verified, synced, then moved here
    ├── checksums/sha256/ab/<hex>   crc32 of each 16 MiB of a larger blob: where damage is
    ├── manifests/sha256/ab/<hex>   manifests, byte for byte as the origin sent them
    ├── tags/ab/<hex>.json          which manifest answers one (reference, Accept)
    ├── pending/<hex>               a blob that still arrives, sparse
    ├── pending/<hex>.json          the spans of it that are surely on disk
    ├── quarantine/<hex>            bytes that did not deserve their name; the last ones of each
    ├── tmp/<n>                     small files before they are moved into place; swept at start
    ├── index/                      LMDB: what the files say, quick to ask; may be deleted
    ├── index.damaged/              the last index that could not be read
    ├── index.opening               stands while a start first reads the index
    └── ledger/                     LMDB: what no file says: totals, tag moves, pulls; precious

Names of files are made of hexadecimal digits that we computed or checked, never of a client's text.
The shard `ab` is the first two of them: 256 directories keep each one small. A shard is made when
its first file comes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.reference import Reference


def tag_key(reference: Reference, accept: str) -> Digest:
    """The name under which the answer to (`reference`, `accept`) is kept.

    No reference contains a bar, so no two pairs spell the same text.
    """
    return digest_of(f"{reference}|{accept}".encode())


@dataclass(frozen=True, slots=True)
class Layout:
    """The tree above, under `root`."""

    root: Path

    @property
    def marker(self) -> Path:
        return self.root / "marker"

    @property
    def marker_draft(self) -> Path:
        return self.root / "marker.tmp"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def all_checksums(self) -> Path:
        return self.root / "checksums" / "sha256"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests" / "sha256"

    @property
    def tags(self) -> Path:
        return self.root / "tags"

    @property
    def pending(self) -> Path:
        return self.root / "pending"

    @property
    def quarantine(self) -> Path:
        return self.root / "quarantine"

    @property
    def drafts(self) -> Path:
        return self.root / "tmp"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def index_damaged(self) -> Path:
        return self.root / "index.damaged"

    @property
    def index_opening(self) -> Path:
        return self.root / "index.opening"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    def blob(self, digest: Digest) -> Path:
        return self.blobs / digest.encoded[:2] / digest.encoded

    def checksums(self, digest: Digest) -> Path:
        return self.all_checksums / digest.encoded[:2] / digest.encoded

    def manifest(self, digest: Digest) -> Path:
        return self.manifests / digest.encoded[:2] / digest.encoded

    def tag(self, key: Digest) -> Path:
        return self.tags / key.encoded[:2] / f"{key.encoded}.json"

    def pending_bytes(self, digest: Digest) -> Path:
        return self.pending / digest.encoded

    def pending_note(self, digest: Digest) -> Path:
        return self.pending / f"{digest.encoded}.json"

    def quarantined(self, digest: Digest) -> Path:
        return self.quarantine / digest.encoded

    def draft(self, number: int) -> Path:
        return self.drafts / str(number)

    def directories(self) -> Iterator[Path]:
        """Every directory of the tree but the shards, parents first."""
        yield from (self.root, self.blobs.parent, self.all_checksums.parent, self.manifests.parent)
        yield from (self.blobs, self.all_checksums, self.manifests, self.tags)
        yield from (self.pending, self.quarantine, self.drafts, self.index, self.ledger)
