"""What the cache relies on, whatever a model comes from: one suite for every Source."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.demo.models import write_model
from appliance.demo.outside import Outside
from appliance.protocol.chunksums import parse_chunksums
from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import parse_manifest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.source import (
    FetchedManifest,
    OriginMisbehavedError,
    OriginUnreachableError,
    Refusal,
    Source,
)
from tests.appliance.upstream.origins import CLIENT, origin
from tests.fakes.source import FakeSource

SECONDS = 5.0  # Longer than any of them takes, shorter than the test's own limit.


@dataclass(frozen=True, slots=True)
class Offer:
    """A source, and the one model that it is known to have."""

    source: Source
    reference: Reference
    manifest: bytes

    @property
    def repository(self) -> Repository:
        return self.reference.repository

    @property
    def blobs(self) -> dict[Digest, int]:
        """The model's blobs, each with its size."""
        return {each.digest: each.size_bytes for each in parse_manifest(self.manifest).descriptors}

    @property
    def largest(self) -> tuple[Digest, int]:
        return max(self.blobs.items(), key=lambda blob: blob[1])

    async def read(self, digest: Digest, span: Span, size_bytes: int) -> bytes:
        async with self.source.open_span(self.repository, digest, span, size_bytes) as chunks:
            return b"".join([bytes(chunk) async for chunk in chunks])


async def offer_builtin(stack: AsyncExitStack, directory: Path) -> Offer:
    source = BuiltinSource()
    return Offer(source, BUILTIN, source.manifest)


async def offer_fake(stack: AsyncExitStack, directory: Path) -> Offer:
    model = write_model(directory, "tiny", [70_000])
    source, reference = FakeSource(), Reference(model.repository, "latest")
    for each in (reference, Reference(model.repository, model.digest)):
        source.publish(each, model.manifest, *(blob.path.read_bytes() for blob in model.blobs))
    return Offer(source, reference, model.manifest)


async def offer_origin(stack: AsyncExitStack, directory: Path) -> Offer:
    model = write_model(directory, "tiny", [300_000])
    outside = await stack.enter_async_context(Outside(directory, time.time))
    outside.publish(model)
    source = await stack.enter_async_context(origin(outside))
    return Offer(source, Reference(model.repository, "latest"), model.manifest)


async def offer_plain_registry(stack: AsyncExitStack, directory: Path) -> Offer:
    model = write_model(directory, "tiny", [300_000])
    outside = await stack.enter_async_context(Outside(directory, time.time))
    outside.manners.sends_blobs_itself = True
    outside.publish(model)
    source = await stack.enter_async_context(origin(outside))
    return Offer(source, Reference(model.repository, "latest"), model.manifest)


@pytest.fixture(params=[offer_builtin, offer_fake, offer_origin, offer_plain_registry])
async def offer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Offer]:
    async with AsyncExitStack() as stack:
        yield await request.param(stack, tmp_path)


ABSENT = digest_of(b"no such blob")


async def test_a_manifest_is_fetched_by_tag_and_by_digest(offer: Offer) -> None:
    for target in (offer.reference.target, digest_of(offer.manifest)):
        reference = Reference(offer.repository, target)
        found = await offer.source.fetch_manifest(reference, CLIENT, timeout_seconds=SECONDS)
        assert isinstance(found, FetchedManifest)
        assert found.content == offer.manifest


async def test_its_digest_is_told_or_unknown_and_never_wrong(offer: Offer) -> None:
    found = await offer.source.fetch_manifest_digest(
        offer.reference, CLIENT, timeout_seconds=SECONDS
    )
    assert found in (digest_of(offer.manifest), None)


@pytest.mark.parametrize("target", ["no-such-tag", ABSENT])
async def test_a_manifest_that_is_not_there_is_refused(offer: Offer, target: str | Digest) -> None:
    reference = Reference(offer.repository, target)
    found = await offer.source.fetch_manifest(reference, CLIENT, timeout_seconds=SECONDS)
    assert isinstance(found, Refusal)
    assert found.status == 404
    told = await offer.source.fetch_manifest_digest(reference, CLIENT, timeout_seconds=SECONDS)
    assert told is None


async def test_sizes_are_those_of_the_manifest(offer: Offer) -> None:
    for digest, size_bytes in offer.blobs.items():
        assert await offer.source.fetch_blob_size(offer.repository, digest) == size_bytes


async def test_the_size_of_a_blob_that_is_not_there_is_refused(offer: Offer) -> None:
    found = await offer.source.fetch_blob_size(offer.repository, ABSENT)
    assert isinstance(found, Refusal)
    assert found.status == 404


async def test_whole_blobs_have_their_digests(offer: Offer) -> None:
    for digest, size_bytes in offer.blobs.items():
        assert digest_of(await offer.read(digest, Span(0, size_bytes), size_bytes)) == digest


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (0, 1000), (999, 1001), (1000, 2000), (-1, 0), (-1000, 0)]
)
async def test_a_span_is_a_slice_of_the_whole(offer: Offer, start: int, stop: int) -> None:
    digest, size_bytes = offer.largest
    span = Span(start % size_bytes, stop or size_bytes)
    whole = await offer.read(digest, Span(0, size_bytes), size_bytes)
    assert await offer.read(digest, span, size_bytes) == whole[span.start : span.stop]


async def test_spans_at_once_do_not_mix(offer: Offer) -> None:
    digest, size_bytes = offer.largest
    step = size_bytes // 8 + 1
    spans = [Span(at, min(at + step, size_bytes)) for at in range(0, size_bytes, step)]
    parts = await asyncio.gather(*(offer.read(digest, span, size_bytes) for span in spans))
    assert digest_of(b"".join(parts)) == digest


async def test_whoever_has_enough_may_leave(offer: Offer) -> None:
    digest, size_bytes = offer.largest
    for _ in range(3):
        async with offer.source.open_span(
            offer.repository, digest, Span(0, size_bytes), size_bytes
        ) as chunks:
            assert await anext(chunks)
    async with offer.source.open_span(offer.repository, digest, Span(0, size_bytes), size_bytes):
        pass
    assert digest_of(await offer.read(digest, Span(0, size_bytes), size_bytes)) == digest


async def test_chunksums_are_the_blob_s_or_refused(offer: Offer) -> None:
    digest, size_bytes = offer.largest
    found = await offer.source.fetch_chunksums(offer.repository, digest)
    assert isinstance(found, Refusal) or parse_chunksums(found, size_bytes)
    refused = await offer.source.fetch_chunksums(offer.repository, ABSENT)
    assert isinstance(refused, Refusal)
    assert refused.status == 404


async def test_a_blob_that_is_not_there_is_a_fault(offer: Offer) -> None:
    with pytest.raises(OriginUnreachableError) as caught:
        await offer.read(ABSENT, Span(0, 10), 10)
    assert caught.value.hint


async def test_a_blob_of_another_size_gives_no_byte(offer: Offer) -> None:
    digest, size_bytes = offer.largest
    with pytest.raises(OriginMisbehavedError):
        await offer.read(digest, Span(0, size_bytes + 1), size_bytes + 1)


@pytest.mark.parametrize("fault", [OSError(28, "no space left"), ValueError("of the caller's")])
async def test_a_fault_of_the_caller_passes_through(offer: Offer, fault: Exception) -> None:
    digest, size_bytes = offer.largest

    async def stumble() -> None:
        async with offer.source.open_span(
            offer.repository, digest, Span(0, size_bytes), size_bytes
        ) as chunks:
            async for _ in chunks:
                raise fault

    with pytest.raises(type(fault)) as caught:
        await stumble()
    assert caught.value is fault
