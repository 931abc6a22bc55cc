"""What is held, to be read whole: manifests, and the small blobs that say what a model is."""

import asyncio
import os

from appliance.protocol.digest import Digest
from appliance.protocol.errors import BlobUnknown
from appliance.protocol.manifest import Manifest, ManifestMalformedError, parse_manifest
from appliance.store.store import Store

# A config has some hundred bytes, a template a few thousand, the longest licence under 200 kB.
BLOB_SIZE_BYTES_MAX = 1024 * 1024


class Contents:
    """Reads; asks nobody and fetches nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read_manifest(self, digest: Digest) -> bytes | None:
        """The exact bytes of a stored manifest; None where it is gone."""
        return await self._store.read_manifest(digest)

    async def parse_manifest(self, digest: Digest) -> Manifest | None:
        """What a stored manifest lists; None where it is gone."""
        content = await self.read_manifest(digest)
        try:
            return None if content is None else parse_manifest(content)
        except ManifestMalformedError:
            return None

    async def read_blob(self, digest: Digest) -> bytes | None:
        """A blob's bytes; None where it is not held, or larger than BLOB_SIZE_BYTES_MAX."""
        record = self._store.find_blob(digest)
        if record is None or record.size_bytes > BLOB_SIZE_BYTES_MAX:
            return None
        return await asyncio.to_thread(self._read, digest, record.size_bytes)

    def _read(self, digest: Digest, size_bytes: int) -> bytes | None:
        try:
            with os.fdopen(self._store.open_blob(digest), "rb") as file:
                content = file.read(size_bytes)
        except (BlobUnknown, OSError):  # Let go of meanwhile, or spoilt by its disk.
            return None
        return content if len(content) == size_bytes else None
