"""Models for the scripted registry: blobs of any size, the same bytes on every run.

*Theory of operation.* A large blob is one pseudo-random block of 1 MiB, written again and again
with its number stamped over its first bytes: no two blocks are equal, so a span delivered from the
wrong offset cannot pass a digest check, and making it costs little more than writing and hashing.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import MANIFEST_TYPE, Descriptor
from appliance.protocol.reference import TAG_DEFAULT, Repository, parse_model_name

BLOCK_SIZE_BYTES = 1024 * 1024
LAYER_TYPE_PREFIX = "application/vnd.ollama.image."
CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
MODEL_TYPE = LAYER_TYPE_PREFIX + "model"
TENSOR_TYPE = LAYER_TYPE_PREFIX + "tensor"  # A layer of this type makes it a model of tensors.

_STAMP_SIZE_BYTES = 8  # A block's number; 2**64 blocks outlast any file.


@dataclass(frozen=True, slots=True)
class DemoBlob:
    """A blob on disk, under the name of its digest."""

    descriptor: Descriptor
    path: Path

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @property
    def size_bytes(self) -> int:
        return self.descriptor.size_bytes


@dataclass(frozen=True, slots=True)
class DemoModel:
    """What a registry holds under one or more tags of a repository."""

    repository: Repository
    tags: tuple[str, ...]
    manifest: bytes
    blobs: tuple[DemoBlob, ...]

    @property
    def digest(self) -> Digest:
        """The model's ID: the digest of its manifest's bytes."""
        return digest_of(self.manifest)

    @property
    def blob_bytes(self) -> int:
        """Bytes of the distinct blobs: what one pull downloads."""
        return sum({each.digest: each.size_bytes for each in self.blobs}.values())


def blocks(seed: str, size_bytes: int) -> Iterator[bytes]:
    """The content of a blob of `size_bytes`, decided by `seed` alone."""
    block = bytearray(hashlib.shake_128(seed.encode()).digest(BLOCK_SIZE_BYTES))
    for number, start in enumerate(range(0, size_bytes, BLOCK_SIZE_BYTES)):
        block[:_STAMP_SIZE_BYTES] = number.to_bytes(_STAMP_SIZE_BYTES, "big")
        yield bytes(block[: size_bytes - start])


def write_blob(directory: Path, media_type: str, content: Iterator[bytes]) -> DemoBlob:
    """Write a blob from the pieces of `content` into `directory`, hashing as it goes. Blocks."""
    hasher, size_bytes = hashlib.sha256(), 0
    unnamed = directory / "being-written"
    with unnamed.open("wb") as file:
        for piece in content:
            hasher.update(piece)
            size_bytes += file.write(piece)
    descriptor = Descriptor(media_type, Digest(hasher.hexdigest()), size_bytes)
    return DemoBlob(descriptor, unnamed.replace(directory / descriptor.digest.encoded))


def write_sparse_blob(directory: Path, media_type: str, size_bytes: int) -> DemoBlob:
    """Make a blob of zeros that takes no disk. Blocks while it is hashed."""
    hasher, zeros = hashlib.sha256(), bytes(BLOCK_SIZE_BYTES)
    for start in range(0, size_bytes, BLOCK_SIZE_BYTES):
        hasher.update(zeros[: size_bytes - start])
    path = directory / hasher.hexdigest()
    with path.open("wb") as file:
        file.truncate(size_bytes)
    return DemoBlob(Descriptor(media_type, Digest(path.name), size_bytes), path)


def write_model(
    directory: Path, name: str, weights_bytes: Sequence[int], *, tags: Sequence[str] = ()
) -> DemoModel:
    """Make the model `name`: a weights layer for each size, and the small layers of a real one.

    `tags` are further tags beside the one in `name`. Blocks; digests depend on `name` and the
    sizes only.
    """
    reference = parse_model_name(name)
    weights = [
        write_blob(directory, MODEL_TYPE, blocks(f"{reference.repository} {number}", size_bytes))
        for number, size_bytes in enumerate(weights_bytes)
    ]
    small = [
        write_blob(directory, media_type, iter([text.encode()]))
        for media_type, text in _small_layers(str(reference.repository))
    ]
    config = write_blob(directory, CONFIG_TYPE, iter([_config(weights)]))
    return assemble(
        reference.repository, [reference.tag or TAG_DEFAULT, *tags], weights + small, config
    )


def assemble(
    repository: Repository,
    tags: Sequence[str],
    layers: Sequence[DemoBlob],
    config: DemoBlob | None,
) -> DemoModel:
    """Make a model of blobs that exist. `config` may be None: Ollama allows an empty one."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _listed(config) if config else {},
        "layers": [_listed(each) for each in layers],
    }
    manifest = json.dumps(document, separators=(",", ":")).encode()
    return DemoModel(repository, tuple(tags), manifest, (*layers, *([config] if config else ())))


def _listed(blob: DemoBlob) -> dict[str, str | int]:
    return {
        "mediaType": blob.descriptor.media_type,
        "digest": str(blob.digest),
        "size": blob.size_bytes,
    }


def _small_layers(name: str) -> Iterator[tuple[str, str]]:
    yield LAYER_TYPE_PREFIX + "template", f"{{{{ .Prompt }}}} (from {name})"
    yield (
        LAYER_TYPE_PREFIX + "license",
        f"The bytes of {name} say nothing; use them as you like.\n" * 20,
    )
    yield LAYER_TYPE_PREFIX + "params", json.dumps({"stop": ["<|end|>"], "temperature": 0.7})


def _config(weights: Sequence[DemoBlob]) -> bytes:
    document = {
        "model_format": "gguf",
        "model_family": "demo",
        "model_type": "1B",
        "file_type": "Q4_0",
        "rootfs": {"type": "layers", "diff_ids": [str(each.digest) for each in weights]},
    }
    return json.dumps(document, separators=(",", ":")).encode()
