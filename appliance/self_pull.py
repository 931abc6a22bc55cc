"""The box pulls its own tiny model the way a client would.

Theory of operation. A self-pull asks our DNS for the registry's name, opens TLS with our CA only,
gets the manifest, asks for each blob's Location and fetches it in two ranges, and checks every
digest. The second pull in a row must be answered from the cache. At last it fetches one range over
TLS, under the blob host's name, as the newest clients fetch theirs. Whichever step fails names the
part that is broken; the parts after it were not reached.
"""

import asyncio
import hashlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

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
SEALED_SIZE_BYTES = 64  # What every blob of the built-in model has.
LEAD_SECONDS_MAX = 3.0  # Until DNS leads here: it is told with the next beat, in half a second.
LEAD_AGAIN_SECONDS = 0.05

_HIT = format_cache_status(CacheStatus.HIT)
_COMMITTING = format_cache_status(CacheStatus.COLLAPSED)
_DOORS = {
    "proxy": "our https does not serve",
    "web": "our http does not serve",
    "pump": "no blob leaves over https",
}


# What a self-pull that came through has shown, part by part.
SHOWN = {
    "dns": "leads the registry's name to this box",
    "proxy": "speaks https under the registry's name",
    "web": "sends a blob's ranges in the clear",
    "index": "serves the second pull from the cache, right to the bit",
    "pump": "sends a blob's range over https under the blob host's name",
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
    blob_host: str = ""
    """Under which name a range is fetched over TLS; "" where none can be."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of the box that it goes through, in this order."""
        return tuple(each for each in SHOWN if each != "pump" or self.blob_host)

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
        connector = aiohttp.TCPConnector(resolver=FixedResolver(address), ssl=context)
        timeout = aiohttp.ClientTimeout(total=SELF_PULL_SECONDS)
        headers = {"User-Agent": self.user_agent}
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=headers
        ) as session:
            await self._pull(session)
            pulled = await self._pull_until_hit(session)
            if self.blob_host:
                await self._fetch_sealed(session, pulled.locations[0])
        return pulled.size_bytes

    async def _pull_until_hit(self, session: aiohttp.ClientSession) -> "_Pulled":
        for _ in range(PULLS_MAX):
            pulled = await self._pull(session)
            if pulled.statuses == {_HIT}:
                return pulled
            if _COMMITTING not in pulled.statuses:
                break
            await asyncio.sleep(PULL_AGAIN_SECONDS)
        raise SelfPullError("index", "a model pulled a moment ago was not served from here")

    async def _fetch_sealed(self, session: aiohttp.ClientSession, location: str) -> None:
        """Fetch a range of the blob at a plain Location over TLS: the grant is good for both."""
        there = urlsplit(location)
        url = f"https://{self.blob_host}:{self.tls_port}{there.path}?{there.query}"
        wanted = {"Range": f"bytes=0-{SEALED_SIZE_BYTES - 1}"}
        with _blaming("pump"):
            async with session.get(url, headers=wanted, allow_redirects=False) as reply:
                content = await _read(reply, HTTPStatus.PARTIAL_CONTENT, "pump")
        if len(content) != SEALED_SIZE_BYTES:
            raise SelfPullError("pump", f"{len(content)} bytes came of {SEALED_SIZE_BYTES}")

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

    async def _pull(self, session: aiohttp.ClientSession) -> "_Pulled":
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
        found = [await _pull_blob(session, base, blob) for blob in blobs]
        return _Pulled(
            sum(blob.size_bytes for blob in blobs),
            set[str]().union(*(statuses for _, statuses in found)),
            [location for location, _ in found],
        )


@dataclass(frozen=True, slots=True)
class _Pulled:
    """One pull: the bytes of all blobs, the ways in which they were served, and from where."""

    size_bytes: int
    statuses: set[str]
    locations: list[str]


async def _pull_blob(
    session: aiohttp.ClientSession, base: str, blob: Descriptor
) -> tuple[str, set[str]]:
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
    return location, statuses


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


class FixedResolver(AbstractResolver):
    """One address for every name; addresses need no resolving."""

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
