"""Landing: a run's bytes reach the disk in order, off the loop, and a fault reaches the run."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from appliance.cache.landing import Landing, Writer
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.faults import StoreFullError
from appliance.store.pending import PendingBlob
from appliance.store.store import Store
from tests.appliance.cache.pulling import TINY, until
from tests.fakes.disk import FailingDisk

CONTENT = bytes(range(256)) * 8192  # 2 MiB.


class Gate:
    """Holds the writes of a pending blob back, and notes them."""

    def __init__(self, pending: PendingBlob) -> None:
        self.may_write = threading.Event()
        self.writes: list[tuple[int, list[int]]] = []
        self._write = pending.write

    def write(self, offset: int, *chunks: bytes) -> None:
        self.writes.append((offset, [len(each) for each in chunks]))
        assert self.may_write.wait(30)
        self._write(offset, *chunks)


@pytest.fixture
def pending(store: Store) -> Iterator[PendingBlob]:
    pending = store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
    yield pending
    pending.cancel()


@pytest.fixture
def gate(pending: PendingBlob, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(pending)
    monkeypatch.setattr(pending, "write", gate.write)
    yield gate
    gate.may_write.set()


@pytest.fixture
async def writer(pending: PendingBlob) -> AsyncIterator[Writer]:
    with Writer(pending) as writer:
        yield writer


async def test_a_chunk_lands_where_the_last_one_ended(writer: Writer, pending: PendingBlob) -> None:
    landed: list[Span] = []
    landing = Landing(writer, 100, landed.append)
    for span in (Span(100, 150), Span(150, 151)):
        landing.put(CONTENT[span.start : span.stop])
        await landing.settle()
        assert landed[-1] == span
    assert list(pending.held) == [Span(100, 151)]


async def test_a_chunk_may_be_written_over_once_it_has_landed(
    writer: Writer, pending: PendingBlob
) -> None:
    landing, buffer = Landing(writer, 0, lambda _: None), bytearray(10)
    for start in range(0, 100, 10):
        buffer[:] = CONTENT[start : start + 10]
        landing.put(memoryview(buffer))
        await landing.settle()
    fd = pending.open_reader()
    try:
        assert os.pread(fd, 100, 0) == CONTENT[:100]
    finally:
        os.close(fd)


async def test_nothing_to_write_is_written_at_once(gate: Gate, writer: Writer) -> None:
    landing = Landing(writer, 0, lambda _: None)
    landing.put(b"")
    await landing.settle()
    assert gate.writes == []


async def test_a_busy_disk_holds_the_run_back(gate: Gate, writer: Writer) -> None:
    landing = Landing(writer, 0, lambda _: None)
    landing.put(CONTENT[:1])
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(landing.settle())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.may_write.set()


async def test_what_was_put_is_written_though_the_fill_has_ended(
    pending: PendingBlob, gate: Gate
) -> None:
    landed: list[Span] = []
    with Writer(pending) as writer:
        for run in range(3):
            Landing(writer, run * 10, landed.append).put(CONTENT[run * 10 : run * 10 + 10])
    gate.may_write.set()
    await until(lambda: len(landed) == 3)
    assert list(pending.held) == [Span(0, 30)]


async def test_a_full_disk_is_told_and_is_not_the_end_of_the_writer(
    gate: Gate, writer: Writer, disk: FailingDisk
) -> None:
    landed: list[Span] = []
    landing = Landing(writer, 0, landed.append)
    landing.put(CONTENT[:10])
    disk.fail("write_at", errno.ENOSPC)
    gate.may_write.set()
    with pytest.raises(StoreFullError):
        await landing.settle()
    assert (len(gate.writes), landed) == (1, [])
    other = Landing(writer, 20, landed.append)
    disk.heal()
    other.put(CONTENT[20:30])
    await other.settle()
    assert landed == [Span(20, 30)]
