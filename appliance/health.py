"""Health that cannot lie: the box pulls its own tiny model the way a client would.

Theory of operation. A self-pull asks our DNS for the registry's name, opens TLS with our CA only,
gets the manifest, asks for each blob's Location and fetches it in two ranges, and checks every
digest. Whichever step fails names the part that is broken; the parts after it were not reached.
The second pull in a row must be answered from the cache. What is not on a pull's way
(the disk's space, the origin, the certificate's age) is looked at beside it.
"""

import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from appliance.policy.health import Check
from appliance.protocol.errors import DigestInvalid
from appliance.protocol.fields import CacheStatus, format_cache_status
from appliance.protocol.manifest import (
    MANIFEST_TYPE,
    Descriptor,
    ManifestMalformedError,
    parse_manifest,
)
from appliance.protocol.reference import Reference

SELF_PULL_SECONDS = 10.0  # A healthy box takes a few hundredths; Ollama itself waits longer.
_HIT = format_cache_status(CacheStatus.HIT)


class SelfPullError(Exception):
    """A step of a self-pull failed; `part` is the part of the box that it lies in."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class SelfPull:
    """How to pull from this very box. `ask` looks the registry's name up in our DNS.

    Where the box has no DNS of its own, `ask` returns its address.
    """

    reference: Reference
    name: str
    tls_port: int
    ca_pem: str
    ask: Callable[[], Awaitable[tuple[str, ...]]]
    user_agent: str

    async def run(self) -> str:
        """Pull twice, the second from the cache; return a sentence. Raises SelfPullError."""
        address = await self._resolve()
        context = ssl.create_default_context(cadata=self.ca_pem)
        connector = aiohttp.TCPConnector(resolver=_Fixed(address), ssl=context)
        timeout = aiohttp.ClientTimeout(total=SELF_PULL_SECONDS)
        headers = {"User-Agent": self.user_agent}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=headers
        ) as session:
            await self._pull(session)
            size_bytes, statuses = await self._pull(session)
        if not all(status == _HIT for status in statuses):
            raise SelfPullError("index", "a model pulled a moment ago was not served from here")
        return (
            f"pulled {self.reference} ({size_bytes} bytes) through DNS, TLS and cache at {address}"
        )

    async def _resolve(self) -> str:
        try:
            addresses = await self.ask()
        except OSError as error:
            raise SelfPullError("dns", f"our DNS does not answer: {error}") from error
        if not addresses:
            raise SelfPullError("dns", f"our DNS has no address for {self.name}: set box.address")
        return addresses[0]

    async def _pull(self, session: aiohttp.ClientSession) -> tuple[int, list[str]]:
        """Pull once; the bytes of all blobs, and how each of them was served."""
        repository = self.reference.repository
        base = f"https://{self.name}:{self.tls_port}/v2/{repository}"
        try:
            accept = {"Accept": MANIFEST_TYPE}
            url = f"{base}/manifests/{self.reference.target}"
            async with session.get(url, headers=accept) as reply:
                content = await _read(reply, HTTPStatus.OK, "proxy")
            blobs = parse_manifest(content).descriptors
            statuses = [
                status for blob in blobs for status in await _pull_blob(session, base, blob)
            ]
        except (ManifestMalformedError, DigestInvalid) as error:
            raise SelfPullError("index", f"the manifest came back damaged: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SelfPullError("proxy", f"our https does not serve: {error}") from error
        return sum(blob.size_bytes for blob in blobs), statuses


async def _pull_blob(session: aiohttp.ClientSession, base: str, blob: Descriptor) -> list[str]:
    async with session.get(f"{base}/blobs/{blob.digest}", allow_redirects=False) as reply:
        await _read(reply, HTTPStatus.TEMPORARY_REDIRECT, "proxy")
        location = reply.headers.get("Location", "")
    if urlsplit(location).scheme != "http":
        raise SelfPullError("web", "a blob's Location is no URL of the plain door")
    middle = blob.size_bytes // 2
    hashed, statuses = hashlib.sha256(), []
    for start, last in ((0, middle - 1), (middle, blob.size_bytes - 1)):
        async with session.get(location, headers={"Range": f"bytes={start}-{last}"}) as reply:
            hashed.update(await _read(reply, HTTPStatus.PARTIAL_CONTENT, "web"))
            statuses.append(reply.headers.get("Cache-Status", ""))
    if hashed.hexdigest() != blob.digest.encoded:
        raise SelfPullError("index", f"{blob.digest} came back as other bytes")
    return statuses


async def _read(reply: aiohttp.ClientResponse, status: int, part: str) -> bytes:
    if reply.status != status:
        raise SelfPullError(part, f"answered {reply.status} where {int(status)} is due")
    return await reply.read()


class _Fixed(AbstractResolver):
    """The one address that our DNS gave, for its name; addresses need no resolving."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=found,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Checkup:
    """Runs the self-pull and the looks beside it, and remembers what they found.

    `looks` are quick questions by name, each answered by a Check.
    """

    self_pull: SelfPull
    looks: dict[str, Callable[[], Check]]
    parts: tuple[str, ...] = ("dns", "proxy", "web", "index")
    _pulled: dict[str, Check] = field(default_factory=dict)

    async def run(self) -> Check:
        """Pull now; the Check of the pull as a whole."""
        try:
            told = await self.self_pull.run()
        except SelfPullError as error:
            reached = self.parts.index(error.part)
            self._pulled = {
                part: Check(is_ok=True, detail="reached by the self-pull")
                for part in self.parts[:reached]
            }
            self._pulled[error.part] = Check(is_ok=False, detail=str(error))
            return self._pulled[error.part]
        whole = Check(is_ok=True, detail=told)
        self._pulled = dict.fromkeys(self.parts, whole)
        return whole

    def checks(self) -> dict[str, Check]:
        """What the last self-pull found, and what the looks find now."""
        return self._pulled | {name: look() for name, look in self.looks.items()}
