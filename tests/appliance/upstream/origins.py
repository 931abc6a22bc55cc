"""An Origin before the scripted Internet: real DNS questions, real TLS, all of it on loopback."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from appliance.demo.models import DemoBlob
from appliance.demo.outside import REGISTRY_NAME, Outside
from appliance.demo.site import Answering
from appliance.policy.addresses import check_origin_address
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.dialling import Dialling
from appliance.upstream.origin import Origin
from appliance.upstream.resolver import Resolver
from appliance.upstream.source import (
    FetchedManifest,
    ManifestRequest,
    OriginUnreachableError,
    Refusal,
)

TINY = Repository("library", "tiny")
LATEST = Reference(TINY, "latest")
SECONDS = 5.0  # Longer than any answer on loopback takes, shorter than the test's own limit.

VIA = "box-under-test"
USER_AGENT = "ollama-appliance/0.1.0"
CLIENT = ManifestRequest(accept=MANIFEST_TYPE, user_agent="ollama/0.33.0 (amd64 linux) Go/go1.26.6")


def resolver(outside: Outside, *, allow_private: bool = True) -> Resolver:
    """The real one. As the sites are on loopback, it leads to them only with `allow_private`."""
    return Resolver(
        [(outside.names.address, outside.names.port)],
        allow_private=allow_private,
        own_addresses=frozenset,
    )


def strict(outside: Outside) -> Callable[[str], Awaitable[tuple[str, ...]]]:
    """The real one without `allow_private`, but for the two sites, which have no other address."""
    real = resolver(outside, allow_private=False)
    sites = {REGISTRY_NAME: outside.registry.address, outside.cdn.name: outside.cdn.address}

    async def resolve(host: str) -> tuple[str, ...]:
        return (sites[host],) if host in sites else await real.resolve(host)

    return resolve


def origin(outside: Outside, how: Dialling | None = None) -> Origin:
    """An origin that dials as `how` says; without it, wherever the name server leads."""
    how = how or Dialling(resolver(outside).resolve, str(outside.ca_file))
    return Origin(outside.registry.url, how, via=VIA, user_agent=USER_AGENT)


def fixed(status: int, body: bytes = b"", **fields: str) -> Answering:
    """Answer everything so; `_` in a field's name stands for `-`."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        return web.Response(status=status, headers=headers, body=body)

    return answer


def in_chunks(status: int, body: bytes = b"", **fields: str) -> Answering:
    """Answer everything so, without saying how long it is."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        response = web.StreamResponse(status=status, headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        if request.method != "HEAD":
            await response.write(body)
        return response

    return answer


async def refuse_private(host: str) -> tuple[str, ...]:
    """Resolve nothing but addresses, and of these the public ones only."""
    check_origin_address(host, frozenset(), allow_private=False)
    return (host,)


async def hang(request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()  # Until the client hangs up: that cancels this request.
    raise AssertionError


async def fetch(source: Origin, request: ManifestRequest = CLIENT) -> FetchedManifest | Refusal:
    return await source.fetch_manifest(LATEST, request, timeout_seconds=SECONDS)


async def read(source: Origin, blob: DemoBlob, start: int = 0, stop: int | None = None) -> bytes:
    span = Span(start, blob.size_bytes if stop is None else stop)
    async with source.open_span(TINY, blob.digest, span, blob.size_bytes) as chunks:
        return b"".join([bytes(chunk) async for chunk in chunks])


async def read_until_it_breaks(
    source: Origin, blob: DemoBlob, start: int = 0
) -> tuple[bytes, OriginUnreachableError]:
    """What came before the fault, and the fault."""
    came = bytearray()
    span = Span(start, blob.size_bytes)
    try:
        async with source.open_span(TINY, blob.digest, span, blob.size_bytes) as chunks:
            async for chunk in chunks:
                came += chunk
    except OriginUnreachableError as fault:
        return bytes(came), fault
    raise AssertionError("it did not break")
