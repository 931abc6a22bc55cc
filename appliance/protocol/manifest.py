"""Manifests: which blobs a model is made of, read from bytes that are kept as they came.

Nothing here writes JSON: a model's ID is the sha256 of its manifest's bytes, so what the origin
sent is what every client gets. Reading is strict, because what is read decides what is stored: a
captive portal's HTML page with status 200 must not become a model.
"""

import json
from dataclasses import dataclass

from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import DigestInvalid

MANIFEST_SIZE_BYTES_MAX = 4 * 1024 * 1024  # What registries must accept; OCI distribution-spec.
BLOB_SIZE_BYTES_MAX = 2**42  # 4 TiB: an order above the largest model there is.
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = frozenset({MANIFEST_TYPE, "application/vnd.oci.image.manifest.v1+json"})


class ManifestMalformedError(Exception):
    """The bytes are not a manifest. `hint` says what usually sends such bytes."""

    hint = "something between the box and the origin answers in its place: log in to the network"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob as a manifest lists it."""

    media_type: str
    digest: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model's blobs: the layers in their order, then the config, where there is one."""

    media_type: str
    descriptors: tuple[Descriptor, ...]

    @property
    def total_size_bytes(self) -> int:
        """Bytes of the distinct blobs: a layer listed twice is downloaded once."""
        return sum({each.digest: each.size_bytes for each in self.descriptors}.values())


def parse_manifest(content: bytes) -> Manifest:
    """Read an image manifest, schema version 2.

    An empty `config` is legal with Ollama and skipped.

    Raises:
        ManifestMalformedError: anything else, including more than MANIFEST_SIZE_BYTES_MAX.
    """
    if len(content) > MANIFEST_SIZE_BYTES_MAX:
        raise ManifestMalformedError(f"{len(content)} bytes are too many for a manifest")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ManifestMalformedError("not JSON") from error
    if not isinstance(document, dict) or document.get("schemaVersion") != 2:
        raise ManifestMalformedError("not a JSON object with schemaVersion 2")
    media_type = document.get("mediaType", MANIFEST_TYPE)
    if not isinstance(media_type, str) or media_type not in MANIFEST_TYPES:
        raise ManifestMalformedError(f"media type {str(media_type)[:100]!r} is no image manifest's")
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise ManifestMalformedError("no list of layers")
    config = document.get("config") or {}
    listed = [*layers, *([config] if not isinstance(config, dict) or config.get("digest") else [])]
    return Manifest(media_type, tuple(_parse_descriptor(each) for each in listed))


def _parse_descriptor(document: object) -> Descriptor:
    if not isinstance(document, dict):
        raise ManifestMalformedError("a layer is not an object")
    media_type, size_bytes = document.get("mediaType"), document.get("size")
    if not isinstance(media_type, str):
        raise ManifestMalformedError("a layer has no media type")
    if type(size_bytes) is not int or not 0 <= size_bytes <= BLOB_SIZE_BYTES_MAX:
        raise ManifestMalformedError("a layer's size is not a number of bytes")
    try:
        digest = parse_digest(str(document.get("digest")))
    except DigestInvalid as error:
        raise ManifestMalformedError("a layer's digest is none") from error
    return Descriptor(media_type, digest, size_bytes)
