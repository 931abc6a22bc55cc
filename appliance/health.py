"""Health that cannot lie: the box pulls its own tiny model the way a client would.

Theory of operation. A self-pull asks our DNS for the registry's name, opens TLS with our CA only,
gets the manifest, asks for each blob's Location and fetches it in two ranges, and checks every
digest. Whichever step fails names the part that is broken; the parts after it were not reached.
The second pull in a row must be answered from the cache. What is not on a pull's way
(the disk's space, the origin, the certificate's age) is looked at beside it.

While the box is not known to be sound our DNS leads to the true registry, and would lead the
self-pull there too: a box once found broken could never find itself mended. So then it first pulls
by address; if that works the box is sound, DNS is told so with the next beat, and the pull that
counts waits until DNS leads here.
"""

import asyncio
import hashlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
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
PULLS_MAX = 50  # Until what the first fetched is a hit: a slow disk takes a while to commit it.
PULL_AGAIN_SECONDS = 0.1
LEAD_SECONDS_MAX = 3.0  # Until DNS leads here: it is told with the next beat, in half a second.
LEAD_AGAIN_SECONDS = 0.05

_HIT = format_cache_status(CacheStatus.HIT)
_COMMITTING = format_cache_status(CacheStatus.COLLAPSED)
_DOORS = {"proxy": "our https does not serve", "web": "our http does not serve"}


# What a self-pull that came through has shown, part by part.
SHOWN = {
    "dns": "leads the registry's name to this box",
    "proxy": "speaks https under the registry's name",
    "web": "sends a blob's ranges in the clear",
    "index": "serves the second pull from the cache, right to the bit",
}


class SelfPullError(Exception):
    """A step of a self-pull failed; `part` is the part of the box that it lies in."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class SelfPull:
    """How to pull from this very box.

    `ask` looks the registry's name up in our DNS; where the box has none of its own, it returns
    `address`, at which the box is reached without DNS. `own` are all of its addresses.
    """

    reference: Reference
    name: str
    tls_port: int
    ca_pem: str
    ask: Callable[[], Awaitable[tuple[str, ...]]]
    own: Callable[[], Collection[str]]
    address: str
    user_agent: str

    async def run(self) -> str:
        """Pull as a client would, with DNS; return a sentence. Raises SelfPullError."""
        address = await self._resolve()
        size_bytes = await self.run_at(address)
        return (
            f"pulled {self.reference} ({size_bytes} bytes) through DNS, TLS and cache at {address}"
        )

    async def run_at(self, address: str) -> int:
        """Pull until it is served from the cache; return its bytes. Raises SelfPullError."""
        context = ssl.create_default_context(cadata=self.ca_pem)
        connector = aiohttp.TCPConnector(resolver=_Fixed(address), ssl=context)
        timeout = aiohttp.ClientTimeout(total=SELF_PULL_SECONDS)
        headers = {"User-Agent": self.user_agent}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=headers
        ) as session:
            await self._pull(session)
            for _ in range(PULLS_MAX):
                size_bytes, statuses = await self._pull(session)
                if statuses == {_HIT}:
                    return size_bytes
                if _COMMITTING not in statuses:
                    break
                await asyncio.sleep(PULL_AGAIN_SECONDS)
        raise SelfPullError("index", "a model pulled a moment ago was not served from here")

    async def _resolve(self) -> str:
        until = time.monotonic() + LEAD_SECONDS_MAX
        while True:
            try:
                return await self._ask()
            except SelfPullError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(LEAD_AGAIN_SECONDS)

    async def _ask(self) -> str:
        try:
            addresses = await self.ask()
        except OSError as error:
            what = str(error) or "it is silent"
            raise SelfPullError("dns", f"our DNS does not answer: {what}") from error
        if not addresses:
            raise SelfPullError("dns", f"our DNS has no address for {self.name}: set box.address")
        if addresses[0] not in self.own():
            raise SelfPullError("dns", f"our DNS leads to {addresses[0]}, which is not this box")
        return addresses[0]

    async def _pull(self, session: aiohttp.ClientSession) -> tuple[int, set[str]]:
        """Pull once; the bytes of all blobs, and the ways in which they were served."""
        repository = self.reference.repository
        base = f"https://{self.name}:{self.tls_port}/v2/{repository}"
        try:
            accept = {"Accept": MANIFEST_TYPE}
            url = f"{base}/manifests/{self.reference.target}"
            with _blaming("proxy"):
                async with session.get(url, headers=accept) as reply:
                    content = await _read(reply, HTTPStatus.OK, "proxy")
            blobs = parse_manifest(content).descriptors
        except (ManifestMalformedError, DigestInvalid) as error:
            raise SelfPullError("index", f"the manifest came back damaged: {error}") from error
        statuses = [await _pull_blob(session, base, blob) for blob in blobs]
        return sum(blob.size_bytes for blob in blobs), set().union(*statuses)


async def _pull_blob(session: aiohttp.ClientSession, base: str, blob: Descriptor) -> set[str]:
    with _blaming("proxy"):
        async with session.get(f"{base}/blobs/{blob.digest}", allow_redirects=False) as reply:
            await _read(reply, HTTPStatus.TEMPORARY_REDIRECT, "proxy")
            location = reply.headers.get("Location", "")
    if urlsplit(location).scheme != "http":
        raise SelfPullError("web", "a blob's Location is no URL of the plain door")
    middle = blob.size_bytes // 2
    hashed, statuses = hashlib.sha256(), set()
    for start, last in ((0, middle - 1), (middle, blob.size_bytes - 1)):
        wanted = {"Range": f"bytes={start}-{last}"}
        with _blaming("web"):
            async with session.get(location, headers=wanted, allow_redirects=False) as reply:
                hashed.update(await _read(reply, HTTPStatus.PARTIAL_CONTENT, "web"))
                statuses.add(reply.headers.get("Cache-Status", ""))
    if hashed.hexdigest() != blob.digest.encoded:
        raise SelfPullError("index", f"{blob.digest} came back as other bytes")
    return statuses


@contextmanager
def _blaming(part: str) -> Iterator[None]:
    """Say which of our doors a connection's trouble lies in."""
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:
        what = str(error) or "nothing comes"
        raise SelfPullError(part, f"{_DOORS[part]}: {what}") from error


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

    `looks` are quick questions by name, each answered by a Check. `is_sound` says that clients may
    be led here: by the last pull, nothing but DNS itself is broken.
    """

    self_pull: SelfPull
    looks: dict[str, Callable[[], Check]]
    parts: tuple[str, ...] = ("dns", "proxy", "web", "index")
    is_sound: bool = False
    _pulled: dict[str, Check] = field(init=False)

    def __post_init__(self) -> None:
        not_yet = Check(is_ok=False, detail="not checked yet")
        self._pulled = dict.fromkeys(self.parts, not_yet)

    async def run(self) -> Check:
        """Pull now; the Check of the pull as a whole."""
        reached = self.parts
        try:
            if not self.is_sound:
                reached = self.parts[1:]  # DNS is not asked.
                await self.self_pull.run_at(self.self_pull.address)
                self.is_sound, reached = True, self.parts
            told = await self.self_pull.run()
        except SelfPullError as error:
            return self._note(error, reached)
        self._pulled = {part: Check(is_ok=True, detail=SHOWN[part]) for part in self.parts}
        return Check(is_ok=True, detail=told)

    def _note(self, error: SelfPullError, reached: tuple[str, ...]) -> Check:
        self.is_sound = self.is_sound and error.part == "dns"
        broken = Check(is_ok=False, detail=str(error))
        before = reached[: reached.index(error.part)]
        passed = Check(is_ok=True, detail="reached by the self-pull")
        self._pulled = dict.fromkeys(before, passed) | {error.part: broken}
        return broken

    def checks(self) -> dict[str, Check]:
        """What the last self-pull found, and what the looks find now."""
        return self._pulled | {name: look() for name, look in self.looks.items()}
