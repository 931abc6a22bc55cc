"""Which request of a pull this is: a method and a request target to one value.

Strict where a path could become a file name or a record, silent where it could not: targets that
are no pull of ours are `Other`, and pass to the origin as they came. A target is refused outright
only where it can be read in two ways (control characters, dot segments, encoded slashes), because
what we decide about one reading must not be undone by another's.
"""

import re
from dataclasses import dataclass

from appliance.protocol.digest import Digest, parse_digest
from appliance.protocol.errors import RequestInvalid
from appliance.protocol.reference import Reference, Repository

TARGET_SIZE_BYTES_MAX = 8 * 1024  # What nginx reads by default; a signed token URL has under 2 KiB.

_PRINTABLE = re.compile(r"[!-~]+")
_TWO_READINGS = re.compile(r"(?i)%(00|2e|2f|5c|0a|0d)|\\|//|/\.\.?(/|$)")
_PULL = re.compile(r"/v2/([^/]+)/([^/]+)/(manifests|blobs|chunksums)/([^/]+)")
_COLON = re.compile(r"(?i)%3a")


@dataclass(frozen=True, slots=True)
class Ping:
    """`/v2/`: are you a registry?"""


@dataclass(frozen=True, slots=True)
class ManifestPull:
    """A manifest by tag or digest."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class BlobPull:
    """A blob under the repository that lists it."""

    repository: Repository
    digest: Digest


@dataclass(frozen=True, slots=True)
class ChunksumsPull:
    """The chunks of a blob under the repository that lists it."""

    repository: Repository
    digest: Digest


@dataclass(frozen=True, slots=True)
class Other:
    """Anything else on the registry's name: not ours to interpret."""


type Route = Ping | ManifestPull | BlobPull | ChunksumsPull | Other


def parse_route(method: str, target: str) -> Route:
    """Name the request. `target` is the origin-form request target, query included.

    Raises:
        RequestInvalid: the target has two readings, or is longer than TARGET_SIZE_BYTES_MAX.
        NameInvalid: a pull of a name outside Ollama's grammar.
        DigestInvalid: a pull by a digest that is none.
    """
    path = check_target(target)
    if method not in ("GET", "HEAD"):
        return Other()
    if path in ("/v2/", "/v2"):
        return Ping()
    match = _PULL.fullmatch(path)
    if match is None or (match[3] == "blobs" and match[4] == "uploads"):
        return Other()
    namespace, model, kind, last = match.groups()
    repository = Repository(namespace, model)
    last = _COLON.sub(":", last)
    if kind == "blobs":
        return BlobPull(repository, parse_digest(last))
    if kind == "chunksums":
        return ChunksumsPull(repository, parse_digest(last))
    return ManifestPull(Reference(repository, parse_digest(last) if ":" in last else last))


def check_target(target: str) -> str:
    """Return the path of an origin-form target that has one reading only. Raises RequestInvalid."""
    if len(target) > TARGET_SIZE_BYTES_MAX:
        raise RequestInvalid(f"the request target is longer than {TARGET_SIZE_BYTES_MAX} bytes")
    if not target.startswith("/") or not _PRINTABLE.fullmatch(target):
        raise RequestInvalid("the request target is not a path in ASCII")
    path, _, _ = target.partition("?")
    if _TWO_READINGS.search(path):
        raise RequestInvalid("the request target can be read in two ways")
    return path
