"""Chunksums: the origin's where they are needed and right, else the blob as one chunk."""

import logging
from dataclasses import replace

import pytest

from appliance.cache.pulls import Cache
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import MethodNotAllowed
from appliance.registry.registry import Registry
from appliance.registry.requests import PassThrough, Request
from tests.appliance.cache.pulling import CONTENT, DIGEST, find, pull
from tests.appliance.registry.requesting import BY_HTTPS, IN_THE_CLEAR, answered
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)
TARGET = f"/v2/library/tiny/chunksums/{DIGEST}"
ASKED = replace(BY_HTTPS, target=TARGET, user_agent="ollama/v0.0.0 (amd64 linux)", accept="")
WHOLE = f"{DIGEST} 0-{SIZE - 1}\n".encode()
HALVES = (f"{digest_of(CONTENT[:100])} 0-99 {digest_of(CONTENT[100:])} 100-{SIZE - 1}").encode()


async def test_the_origin_s_own_are_passed_on_to_the_byte(
    registry: Registry, cache: Cache, source: FakeSource
) -> None:
    source.chunksums[DIGEST] = HALVES
    await find(cache)
    answer = await answered(registry, ASKED)
    assert (answer.status, answer.content) == (200, HALVES)
    assert answer.fields["Content-Location"] == (
        f"https://registry.ollama.ai/v2/library/tiny/blobs/{DIGEST}"
    )


async def test_of_a_blob_that_is_held_the_origin_is_not_asked(
    registry: Registry, cache: Cache, source: FakeSource
) -> None:
    await find(cache)
    await pull(cache)
    source.asked.clear()
    assert (await answered(registry, ASKED)).content == WHOLE
    assert source.asked == []


async def test_without_the_origin_a_blob_is_one_chunk(
    registry: Registry, cache: Cache, source: FakeSource
) -> None:
    await find(cache)
    assert (await answered(registry, ASKED)).content == WHOLE  # It says 404.
    source.is_away = True
    assert (await answered(registry, ASKED)).content == WHOLE


@pytest.mark.parametrize(
    "wrong", [b"", HALVES[:-1], HALVES.replace(b" 100-", b" 101-"), b"<html>log in</html>"]
)
async def test_wrong_ones_are_never_passed_on(
    registry: Registry,
    cache: Cache,
    source: FakeSource,
    caplog: pytest.LogCaptureFixture,
    wrong: bytes,
) -> None:
    source.chunksums[DIGEST] = wrong
    await find(cache)
    with caplog.at_level(logging.WARNING):
        assert (await answered(registry, ASKED)).content == WHOLE
    assert "are not used" in caplog.text


@pytest.mark.parametrize(
    ("asked", "url"),
    [
        (replace(ASKED, host_port=8443), "https://registry.ollama.ai:8443/v2/"),
        (replace(ASKED, host_port=443), "https://registry.ollama.ai/v2/"),
        (replace(IN_THE_CLEAR, target=TARGET), "http://registry.ollama.ai/v2/"),
        (
            replace(IN_THE_CLEAR, target=TARGET, host="fd00::1", host_port=8080),
            "http://[fd00::1]:8080/v2/",
        ),
    ],
)
async def test_the_blob_is_where_the_client_came_from(
    registry: Registry, cache: Cache, asked: Request, url: str
) -> None:
    await find(cache)
    answer = await answered(registry, asked)
    assert answer.fields["Content-Location"].startswith(url)


async def test_what_no_stored_manifest_lists_is_the_origin_s(registry: Registry) -> None:
    assert isinstance(await registry.answer(ASKED), PassThrough)
    refused = await answered(registry, replace(IN_THE_CLEAR, target=TARGET))
    assert refused.status == MethodNotAllowed.status


async def test_a_signature_by_habit_changes_nothing_and_a_token_all(
    registry: Registry, cache: Cache
) -> None:
    await find(cache)
    signed = replace(ASKED, has_authorization=True, is_signed_by_habit=True)
    assert (await answered(registry, signed)).content == WHOLE
    with_token = replace(ASKED, has_authorization=True)
    assert isinstance(await registry.answer(with_token), PassThrough)
