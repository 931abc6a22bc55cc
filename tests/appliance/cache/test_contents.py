"""Reading what is held, whole."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.contents import BLOB_SIZE_BYTES_MAX
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import parse_model_name
from appliance.store.layout import Layout
from appliance.upstream.source import ManifestRequest
from tests.fakes.registry import Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path / "state") as opened:
        yield opened


async def test_a_manifest_is_read_as_it_came(shop: Shop) -> None:
    digest = shop.source.publish("tiny", b"layer")
    contents = shop.cache.contents
    assert await contents.read_manifest(digest) is None
    assert await contents.parse_manifest(digest) is None
    await shop.cache.open_manifest(parse_model_name("tiny"), ManifestRequest("", ""))
    content = await contents.read_manifest(digest)
    assert content is not None
    assert digest_of(content) == digest
    assert json.loads(content)["layers"][0]["size"] == 5
    manifest = await contents.parse_manifest(digest)
    assert manifest is not None
    assert [each.digest for each in manifest.descriptors] == [digest_of(b"layer")]


async def test_a_small_blob_is_read_and_a_large_or_absent_one_is_not(shop: Shop) -> None:
    large = bytes(BLOB_SIZE_BYTES_MAX + 1)
    shop.keep("tiny", b"small", large)
    assert await shop.cache.contents.read_blob(digest_of(b"small")) == b"small"
    assert await shop.cache.contents.read_blob(digest_of(large)) is None
    assert await shop.cache.contents.read_blob(digest_of(b"absent")) is None


async def test_a_blob_that_its_disk_lost_is_not_read(shop: Shop) -> None:
    shop.keep("tiny", b"small")
    Layout(shop.store.root).blob(digest_of(b"small")).write_bytes(b"sma")
    assert await shop.cache.contents.read_blob(digest_of(b"small")) is None
