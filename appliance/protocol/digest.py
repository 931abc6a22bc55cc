"""Digests: the names of blobs and manifests, and the check that bytes deserve theirs.

Only sha256, which is all that Ollama has ever used. Its tools write `sha256:<hex>` on the
wire and `sha256-<hex>` in file names, and accept capitals in both; one spelling lives in here.
"""

import hashlib
import re
from dataclasses import dataclass

from appliance.protocol.errors import DigestInvalid

_DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")
_ENCODED = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A sha256 digest. `encoded` is its 64 lower-case hexadecimal digits."""

    encoded: str

    def __post_init__(self) -> None:
        if not _ENCODED.fullmatch(self.encoded):
            raise ValueError(f"not 64 lower-case hexadecimal digits: {self.encoded!r}")

    def __str__(self) -> str:
        return f"sha256:{self.encoded}"


def parse_digest(text: str) -> Digest:
    """Read a digest in either spelling.

    Raises:
        DigestInvalid: it is anything else.
    """
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise DigestInvalid("a digest is sha256: and 64 hexadecimal digits")
    return Digest(match[1].lower())


def digest_of(content: bytes) -> Digest:
    """The digest of `content`. Hashes in the caller's thread: for manifests, not for blobs."""
    return Digest(hashlib.sha256(content).hexdigest())
