"""The built-in model: whole, the same everywhere, and all there is."""

from hashlib import sha256

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_TYPE, parse_manifest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from appliance.upstream.source import (
    FetchedManifest,
    ManifestRequest,
    OriginMisbehavedError,
    Refusal,
)

REQUEST = ManifestRequest(accept="*/*", user_agent="")
STRANGER = Repository("library", "tiny")


@pytest.fixture
def source() -> BuiltinSource:
    return BuiltinSource()


async def test_its_manifest_lists_what_it_holds(source: BuiltinSource) -> None:
    manifest = parse_manifest(source.manifest)
    assert {each.digest for each in manifest.descriptors} == set(source.digests)
    assert manifest.total_size_bytes == source.size_bytes
    for each in manifest.descriptors:
        assert await source.fetch_blob_size(BUILTIN.repository, each.digest) == each.size_bytes


async def test_its_bytes_are_those_of_their_digests(source: BuiltinSource) -> None:
    for each in parse_manifest(source.manifest).descriptors:
        whole = Span(0, each.size_bytes)
        async with source.open_span(
            BUILTIN.repository, each.digest, whole, each.size_bytes
        ) as chunks:
            content = b"".join([bytes(chunk) async for chunk in chunks])
        assert sha256(content).hexdigest() == each.digest.encoded


def test_it_is_the_same_in_every_box(source: BuiltinSource) -> None:
    """A box that is updated must find the model that it stored before."""
    assert BuiltinSource().manifest == source.manifest
    assert digest_of(source.manifest).encoded == (
        "0204b0c91a2c13955341abb6c1c69cc5ed5ff9893da4a98434c8088faec65bc4"
    )


@pytest.mark.parametrize("by_digest", [False, True])
async def test_it_is_found_by_tag_and_by_digest(source: BuiltinSource, by_digest: bool) -> None:
    digest = digest_of(source.manifest)
    reference = Reference(BUILTIN.repository, digest) if by_digest else BUILTIN
    found = await source.fetch_manifest(reference, REQUEST, timeout_seconds=1.0)
    assert found == FetchedManifest(source.manifest, MANIFEST_TYPE)
    assert await source.fetch_manifest_digest(reference, REQUEST, timeout_seconds=1.0) == digest


@pytest.mark.parametrize(
    "reference",
    [
        Reference(BUILTIN.repository, "other"),
        Reference(BUILTIN.repository, digest_of(b"other")),
        Reference(STRANGER, "latest"),
    ],
)
async def test_there_is_no_other_model(source: BuiltinSource, reference: Reference) -> None:
    found = await source.fetch_manifest(reference, REQUEST, timeout_seconds=1.0)
    assert isinstance(found, Refusal)
    assert found.status == 404
    assert await source.fetch_manifest_digest(reference, REQUEST, timeout_seconds=1.0) is None


async def test_its_blobs_are_in_its_repository_only(source: BuiltinSource) -> None:
    digest = source.digests[0]
    assert await source.fetch_blob_size(STRANGER, digest) == Refusal(404)
    with pytest.raises(OriginMisbehavedError):
        async with source.open_span(STRANGER, digest, Span(0, 1), 65536):
            pass
