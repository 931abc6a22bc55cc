"""Landing: bytes reach the disk in order and at once, gathered while the disk is busy."""

import asyncio
import errno
import threading
from collections.abc import Iterator

import pytest

from appliance.cache.landing import GATHERED_BYTES_MAX, Landing
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


async def test_a_chunk_lands_without_waiting_for_another(pending: PendingBlob) -> None:
    landed: list[Span] = []
    landing = Landing(pending, 100, landed.append)
    landing.put(CONTENT[100:150])
    await until(lambda: landed == [Span(100, 150)])
    assert list(pending.held) == [Span(100, 150)]


async def test_what_comes_during_a_write_is_one_write_after_it(
    pending: PendingBlob, gate: Gate
) -> None:
    landed: list[Span] = []
    landing = Landing(pending, 0, landed.append)
    for start in (0, 10, 20, 30):
        landing.put(CONTENT[start : start + 10])
    landing.put(b"")
    gate.may_write.set()
    await landing.settle()
    assert gate.writes == [(0, [10]), (10, [10, 10, 10])]
    assert landed == [Span(0, 10), Span(10, 40)]
    assert list(pending.held) == [Span(0, 40)]


async def test_a_busy_disk_holds_the_run_back(pending: PendingBlob, gate: Gate) -> None:
    landing = Landing(pending, 0, lambda _: None)
    landing.put(CONTENT[:1])
    await landing.has_room()
    landing.put(CONTENT[1 : GATHERED_BYTES_MAX + 2])
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(landing.has_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        gate.may_write.set()
    await landing.settle()


async def test_a_full_disk_is_told_and_nothing_more_is_written(
    pending: PendingBlob, gate: Gate, disk: FailingDisk
) -> None:
    landed: list[Span] = []
    landing = Landing(pending, 0, landed.append)
    landing.put(CONTENT[:10])
    landing.put(CONTENT[10:20])
    disk.fail("write_at", errno.ENOSPC)
    gate.may_write.set()
    with pytest.raises(StoreFullError):
        await landing.settle()
    landing.put(CONTENT[20:30])
    with pytest.raises(StoreFullError):
        await landing.has_room()
    assert (len(gate.writes), landed) == (1, [])
