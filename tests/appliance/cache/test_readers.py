"""Readers: the same spans whether bytes are held, arrive, or go past the store."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator

import pytest

from appliance.cache.pulls import Cache
from appliance.cache.readers import FillReader, HeldReader, StreamReader
from appliance.cache.tally import Count, Tally
from appliance.policy import backoff
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.store.faults import DigestMismatchError, StoreFullError
from appliance.upstream.source import OriginUnreachableError
from tests.appliance.cache.pulling import (
    CONTENT,
    DIGEST,
    TINY,
    counted,
    open_whole,
    pull,
    read,
    settled,
    until,
)
from tests.conftest import open_descriptors
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)


@pytest.fixture(autouse=True)
def published(source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    source.blobs[DIGEST] = CONTENT
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)


async def spans_of(spans: AsyncIterator[Span]) -> list[Span]:
    return [span async for span in spans]


async def test_a_held_span_is_one_span(cache: Cache) -> None:
    await pull(cache)
    reader = await cache.open_blob(TINY, DIGEST, SIZE, Span(10, 20))
    assert isinstance(reader, HeldReader)
    assert await spans_of(reader.spans()) == [Span(10, 20)]
    assert not reader.is_streamable()
    assert (reader.size_bytes, reader.status) == (SIZE, CacheStatus.HIT)
    reader.close()


async def test_a_span_that_arrives_is_handed_out_as_it_lands(
    cache: Cache, source: FakeSource
) -> None:
    source.gates[3000] = asyncio.Event()
    reader = await cache.open_blob(TINY, DIGEST, SIZE, Span(500, 3500))
    assert isinstance(reader, FillReader)
    assert reader.file_fd is not None
    spans = aiter(reader.spans())
    early = b""
    while len(early) < 2500:
        span = await anext(spans)
        early += os.pread(reader.file_fd, span.size_bytes, span.start)
    assert early == CONTENT[500:3000]
    source.gates[3000].set()
    late = [span async for span in spans]
    assert (late[0].start, late[-1].stop) == (3000, 3500)
    reader.close()


async def test_a_reader_may_stand_anywhere(cache: Cache) -> None:
    readers = [
        await cache.open_blob(TINY, DIGEST, SIZE, Span(start, min(start + 700, SIZE)))
        for start in range(0, SIZE, 700)
    ]
    assert b"".join([await read(each) for each in readers]) == CONTENT


async def test_a_reader_that_leaves_takes_no_byte_from_another(
    cache: Cache, source: FakeSource
) -> None:
    source.gates[3000] = asyncio.Event()
    first, second = await open_whole(cache), await open_whole(cache)
    first.close()
    first.close()
    source.gates[3000].set()
    assert await read(second) == CONTENT


async def test_a_fill_that_fails_for_want_of_space_goes_on_past_the_store(
    cache: Cache, source: FakeSource, disk: FailingDisk
) -> None:
    disk.fail("write_at", errno.ENOSPC, after=3)
    reader = await open_whole(cache)
    assert await read(reader) == CONTENT
    assert isinstance(reader, FillReader)
    assert isinstance(reader.fault, StoreFullError)
    assert source.spans[-1] == Span(3000, SIZE)
    assert counted(cache, Count.UNCACHED) == 1


async def test_an_origin_that_is_away_is_not_asked_past_the_store(
    cache: Cache, source: FakeSource
) -> None:
    source.troubles = [(3000, OriginUnreachableError("cut"))]
    source.troubles += [(0, OriginUnreachableError("cut"))] * backoff.ATTEMPTS_MAX
    reader = await open_whole(cache)
    assert await read(reader) == CONTENT[:3000]
    assert isinstance(reader, FillReader)
    assert isinstance(reader.fault, OriginUnreachableError)
    assert counted(cache, Count.UNCACHED) == 0


async def test_wrong_bytes_are_not_fetched_past_the_store(cache: Cache, source: FakeSource) -> None:
    source.blobs[DIGEST] = bytes(SIZE)
    reader = await open_whole(cache)
    await settled(cache)
    assert isinstance(reader, FillReader)
    assert isinstance(reader.fault, DigestMismatchError)
    assert not reader.is_streamable()
    reader.close()


async def test_past_the_store_only_the_span_is_asked_for(source: FakeSource) -> None:
    tally = Tally()
    reader = StreamReader(source, TINY, DIGEST, Span(100, 5000), SIZE, tally, asyncio.Semaphore(1))
    assert reader.file_fd is None
    assert await spans_of(reader.spans()) == []
    assert reader.is_streamable()
    assert b"".join([chunk async for chunk in reader.chunks(2000)]) == CONTENT[2000:5000]
    assert source.spans == [Span(2000, 5000)]
    reader.note_sent(3000)
    reader.close()
    assert tally.since_start == {
        Count.UNCACHED: 1,
        Count.FETCHED_BYTES: 3000,
        Count.SERVED_BYTES: 3000,
    }


async def test_past_the_store_only_so_many_stream_at_once(source: FakeSource) -> None:
    turns, gate = asyncio.Semaphore(1), asyncio.Event()
    source.gates = {1000: gate}
    readers = [
        StreamReader(source, TINY, DIGEST, Span(0, 2000), SIZE, Tally(), turns) for _ in range(2)
    ]

    async def read_all(reader: StreamReader) -> bytes:
        return b"".join([chunk async for chunk in reader.chunks(0)])

    async with asyncio.TaskGroup() as group:
        first = group.create_task(read_all(readers[0]))
        await source.is_asked.wait()
        second = group.create_task(read_all(readers[1]))
        await asyncio.sleep(0)
        assert len(source.spans) == 1
        gate.set()
    assert first.result() == second.result() == CONTENT[:2000]


async def test_what_was_sent_is_counted(cache: Cache) -> None:
    reader = await open_whole(cache)
    reader.note_sent(7)
    await read(reader)
    reader = await open_whole(cache)
    reader.note_sent(3)
    reader.close()
    assert counted(cache, Count.SERVED_BYTES) == 10


async def test_no_descriptor_is_left_by_any_kind(
    cache: Cache, source: FakeSource, disk: FailingDisk
) -> None:
    before = open_descriptors()
    for _ in range(3):
        source.blobs[DIGEST] = bytes(SIZE)
        await pull(cache)
        cache._paused_until.clear()
        source.blobs[DIGEST] = CONTENT
        disk.fail("write_at", errno.ENOSPC, after=3)
        await pull(cache)
        disk.heal()
        await pull(cache)
        await pull(cache)
        cache._store.discard_blob(DIGEST)
    await until(lambda: open_descriptors() == before)


async def test_a_reader_of_a_held_blob_is_told_once_that_it_is_spoilt(cache: Cache) -> None:
    await pull(cache)
    reader = await open_whole(cache)
    assert isinstance(reader, HeldReader)
    told: list[str] = []
    reader.spoil()
    reader.on_spoilt(lambda: told.append("late"))
    reader.spoil()
    assert told == ["late"]
    reader.close()
