"""Bodies over real sockets and the real pump: exact, or cut short and never padded."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.readers import HeldReader
from appliance.delivery import pump
from appliance.protocol.ranges import Span
from tests.appliance.web.conftest import Door, request, turns

LAYER = random.Random(1).randbytes(1_000_003)
SIZE_BYTES = len(LAYER)


@pytest.fixture
def held(door: Door) -> str:
    """The target of a blob that the box holds."""
    door.shop.keep("tiny", LAYER)
    return granted(door)


def granted(door: Door) -> str:
    return door.shop.grant("tiny", LAYER)


async def list_it(door: Door) -> None:
    """Have the manifest here, so that the blob is known."""
    assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200


async def test_a_held_blob_comes_whole(door: Door, held: str) -> None:
    await list_it(door)
    answer = await door.ask(held)
    assert (answer.status, answer.body) == (200, LAYER)
    assert answer.fields["Content-Length"] == str(SIZE_BYTES)
    assert answer.fields["Accept-Ranges"] == "bytes"
    assert answer.fields["Cache-Status"] == "ollama-appliance; hit"


@pytest.mark.parametrize(
    ("field", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-99999", 1000, 100_000),
        ("bytes=1000000-", 1_000_000, SIZE_BYTES),
        ("bytes=-3", SIZE_BYTES - 3, SIZE_BYTES),
        ("bytes=5-99999999999", 5, SIZE_BYTES),
    ],
)
async def test_a_range_comes_as_206_with_its_exact_bytes(
    door: Door, held: str, field: str, start: int, stop: int
) -> None:
    await list_it(door)
    answer = await door.ask(held, f"Range: {field}")
    assert (answer.status, answer.body) == (206, LAYER[start:stop])
    assert answer.fields["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE_BYTES}"


@pytest.mark.parametrize("field", ["bytes=0-1,3-4", "bytes=9-1", "lines=1-2", "bytes=a-", "\xff"])
async def test_other_range_fields_are_ignored(door: Door, held: str, field: str) -> None:
    await list_it(door)
    answer = await door.ask(held, f"Range: {field}")
    assert (answer.status, answer.body) == (200, LAYER)


@pytest.mark.parametrize("field", [f"bytes={SIZE_BYTES}-", "bytes=-0"])
async def test_a_range_outside_is_416(door: Door, held: str, field: str) -> None:
    await list_it(door)
    answer = await door.ask(held, f"Range: {field}")
    assert answer.status == 416
    assert answer.fields["Content-Range"] == f"bytes */{SIZE_BYTES}"


async def test_a_head_has_the_length_and_no_body(door: Door, held: str) -> None:
    await list_it(door)
    async with door.dial() as wire:
        for _ in range(2):
            answer = await wire.ask(request(held, method="HEAD"))
            assert (answer.status, answer.fields["Content-Length"]) == (200, str(SIZE_BYTES))


async def test_one_connection_carries_many_bodies(door: Door, held: str) -> None:
    await list_it(door)
    async with door.dial() as wire:
        for start in range(0, SIZE_BYTES, 250_000):
            stop = min(start + 250_000, SIZE_BYTES)
            answer = await wire.ask(request(held, f"Range: bytes={start}-{stop - 1}"))
            assert answer.body == LAYER[start:stop]


async def test_ranges_asked_for_at_once_come_in_order(door: Door, held: str) -> None:
    await list_it(door)
    async with door.dial() as wire:
        wire.send(request(held, "Range: bytes=0-9") + request(held, "Range: bytes=10-19"))
        found = [await wire.answer(), await wire.answer()]
        assert [each and each.body for each in found] == [LAYER[:10], LAYER[10:20]]


async def test_a_blob_that_arrives_is_sent_as_it_arrives(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    await list_it(door)
    door.shop.source.gate.clear()
    async with door.dial() as wire:
        wire.send(request(granted(door)))
        await wire.reader.readuntil(b"\r\n\r\n")  # The head is out before the first byte is in.
        door.shop.source.gate.set()
        assert await wire.reader.readexactly(SIZE_BYTES) == LAYER


async def test_a_fill_that_ends_early_cuts_the_body(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.cache.runs.choose_delay", lambda *_, **__: None)
    door.shop.source.publish("tiny", LAYER)
    await list_it(door)
    door.shop.source.cut_at = 300_000
    async with door.dial() as wire:
        answer = await wire.ask(request(granted(door)))
        assert (answer.is_cut, answer.body) == (True, LAYER[:300_000])
        assert await wire.rest() == b""


async def test_without_room_a_body_streams_past_the_store(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    await list_it(door)
    door.shop.min_free_bytes[0] = 1 << 60
    answer = await door.ask(granted(door), "Range: bytes=5-700000")
    assert (answer.status, answer.body) == (206, LAYER[5:700_001])
    assert "not-stored" in answer.fields["Cache-Status"]
    assert door.shop.store.stats().blob_count == 0


async def test_a_stream_that_ends_early_cuts_the_body(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    await list_it(door)
    door.shop.min_free_bytes[0], door.shop.source.cut_at = 1 << 60, 300_000
    async with door.dial() as wire:
        answer = await wire.ask(request(granted(door)))
        assert (answer.is_cut, answer.body) == (True, LAYER[:300_000])
        assert await wire.rest() == b""


async def test_a_client_that_leaves_is_no_error_and_leaves_no_descriptor(
    door: Door, held: str, caplog: pytest.LogCaptureFixture
) -> None:
    await list_it(door)
    before = descriptors()
    for _ in range(5):
        async with door.dial() as wire:
            wire.send(request(held))
            await wire.reader.readexactly(1000)
    async with asyncio.timeout(5):
        while descriptors() != before:
            await turns(1)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_client_that_takes_nothing_is_let_go(
    door: Door, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "STALL_SECONDS_MAX", 0.0)
    monkeypatch.setattr(pump, "_BEAT_SECONDS", 0.01)
    large = bytes(32 << 20)
    door.shop.keep("large", large)
    assert (await door.ask("/v2/library/large/manifests/latest")).status == 200
    before = descriptors()
    async with door.dial() as wire:
        wire.send(request(door.shop.grant("large", large)))
        await wire.reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            while descriptors() > before + 1:  # The client's own.
                await turns(1)
        assert len(await wire.rest()) < len(large)


async def test_a_reader_that_fails_closes_the_connection_and_is_closed_itself(
    door: Door, held: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed: list[HeldReader] = []

    async def broken(self: HeldReader) -> AsyncIterator[Span]:
        raise OSError("the disk is gone")
        yield self.span

    def close(self: HeldReader) -> None:
        closed.append(self)
        really(self)

    really = HeldReader.close
    monkeypatch.setattr(HeldReader, "spans", broken)
    monkeypatch.setattr(HeldReader, "close", close)
    await list_it(door)
    async with door.dial() as wire:
        answer = await wire.ask(request(held))
        assert (answer.is_cut, answer.body) == (True, b"")
        assert await wire.rest() == b""
    assert len(closed) == 1
    assert "the disk is gone" in caplog.text


async def test_without_a_grant_there_is_no_blob(door: Door, held: str) -> None:
    path, _, query = held.partition("?")
    assert (await door.ask(path)).status == 403
    assert (await door.ask(f"{path}?{query[:-1]}")).status == 403
    assert (await door.ask(f"/blobs/sha256:{'0' * 64}?{query}")).status == 403
    assert (await door.ask("/blobs/../secret")).status in (403, 404)
    assert (await door.ask(door.shop.grant("tiny", LAYER, expires_at=1.0))).status == 403
