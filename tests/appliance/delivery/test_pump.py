"""The pump over real sockets and files: in order, byte for byte, and never longer than promised."""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from appliance.delivery import pump
from appliance.delivery.pump import Pumps
from appliance.protocol.ranges import Span

SIZE_BYTES = 3_000_001


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Wire:
    """A connected pair of sockets; the pump gets a duplicate of one end."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.setblocking(False)

    def out_fd(self) -> int:
        return os.dup(self.ours.fileno())

    async def read(self, count: int) -> bytes:
        content = bytearray()
        while len(content) < count:
            chunk = await asyncio.get_running_loop().sock_recv(self.theirs, 65536)
            if not chunk:
                break
            content += chunk
        return bytes(content)


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.ours.close()
    made.theirs.close()


@pytest.fixture
def blob(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    content = random.Random(1).randbytes(SIZE_BYTES)
    (tmp_path / "blob").write_bytes(content)
    fd = os.open(tmp_path / "blob", os.O_RDONLY)
    yield fd, content
    os.close(fd)


async def each(*spans: Span) -> AsyncIterator[Span]:
    for span in spans:
        yield span


async def test_spans_arrive_in_order_and_whole(wire: Wire, blob: tuple[int, bytes]) -> None:
    fd, content = blob
    cuts = [0, 1, 70_000, 1_500_000, SIZE_BYTES]
    spans = [Span(a, b) for a, b in pairwise(cuts)]
    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        received = group.create_task(wire.read(SIZE_BYTES))
        assert await pumps.send(wire.out_fd(), fd, each(*spans)) == SIZE_BYTES
    assert received.result() == content


async def test_bytes_are_told_as_they_go(wire: Wire, blob: tuple[int, bytes]) -> None:
    fd, _ = blob
    told: list[int] = []
    loop, first = asyncio.get_running_loop(), asyncio.Event()

    def note(sent_bytes: int) -> None:
        told.append(sent_bytes)
        loop.call_soon_threadsafe(first.set)

    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        sending = group.create_task(pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES)), note))
        await first.wait()
        assert 0 < sum(told) < SIZE_BYTES  # The socket takes no more.
        assert not sending.done()
        await wire.read(SIZE_BYTES)
    assert sum(told) == sending.result() == SIZE_BYTES


async def test_a_parked_job_wakes_when_bytes_land(wire: Wire, blob: tuple[int, bytes]) -> None:
    fd, content = blob
    landed = asyncio.Event()

    async def arriving() -> AsyncIterator[Span]:
        yield Span(0, 10)
        await landed.wait()
        yield Span(10, 20)

    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        sending = group.create_task(pumps.send(wire.out_fd(), fd, arriving()))
        assert await wire.read(10) == content[:10]
        landed.set()
        assert await wire.read(10) == content[10:20]
    assert sending.result() == 20


async def test_an_iterator_that_ends_early_sends_no_more(
    wire: Wire, blob: tuple[int, bytes]
) -> None:
    fd, _ = blob
    async with Pumps(threads=1) as pumps:
        assert await pumps.send(wire.out_fd(), fd, each()) == 0


async def test_a_file_shorter_than_promised_ends_the_body(
    wire: Wire, blob: tuple[int, bytes]
) -> None:
    fd, _ = blob
    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        received = group.create_task(wire.read(SIZE_BYTES))
        sent = await pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES + 5)))
    assert sent == SIZE_BYTES == len(received.result())


async def test_a_client_that_leaves_ends_the_job(wire: Wire, blob: tuple[int, bytes]) -> None:
    fd, _ = blob
    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        sending = group.create_task(pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES))))
        await wire.read(1)
        wire.theirs.close()
    assert sending.result() < SIZE_BYTES


async def test_a_client_that_takes_nothing_is_let_go(
    wire: Wire, blob: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "STALL_SECONDS_MAX", 0.0)
    monkeypatch.setattr(pump, "_BEAT_SECONDS", 0.01)
    fd, _ = blob
    async with Pumps(threads=1) as pumps:
        assert await pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES))) < SIZE_BYTES


async def test_a_job_parked_too_long_is_let_go(
    wire: Wire, blob: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "_BEAT_SECONDS", 0.01)
    fd, _ = blob

    async def never() -> AsyncIterator[Span]:
        yield Span(0, 10)
        await asyncio.Event().wait()

    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        sending = group.create_task(pumps.send(wire.out_fd(), fd, never()))
        await wire.read(10)
        monkeypatch.setattr(pump, "PARKED_SECONDS_MAX", 0.0)
    assert sending.result() == 10


async def test_a_slow_client_holds_up_nobody_on_its_thread(blob: tuple[int, bytes]) -> None:
    fd, content = blob
    slow, fast = Wire(), Wire()
    async with Pumps(threads=1) as pumps, asyncio.TaskGroup() as group:
        waiting = group.create_task(pumps.send(slow.out_fd(), fd, each(Span(0, SIZE_BYTES))))
        await slow.read(1)
        received = group.create_task(fast.read(SIZE_BYTES))
        assert await pumps.send(fast.out_fd(), fd, each(Span(0, SIZE_BYTES))) == SIZE_BYTES
        assert await received == content
        assert not waiting.done()
        slow.theirs.close()
    for each_wire in (slow, fast):
        each_wire.ours.close()
        each_wire.theirs.close()


async def test_cancelling_a_send_lets_go_of_its_descriptors(
    wire: Wire, blob: tuple[int, bytes]
) -> None:
    fd, _ = blob
    before = count_descriptors()
    async with Pumps(threads=1) as pumps:
        opened = count_descriptors()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES)))
        assert count_descriptors() == opened
    assert count_descriptors() == before


async def test_stopping_cuts_every_body_short(wire: Wire, blob: tuple[int, bytes]) -> None:
    fd, _ = blob
    async with asyncio.TaskGroup() as group, Pumps(threads=2) as pumps:
        sending = group.create_task(pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES))))
        await wire.read(1)
    assert sending.result() < SIZE_BYTES


async def test_a_body_for_a_pump_that_has_stopped_is_cut_at_once(
    wire: Wire, blob: tuple[int, bytes]
) -> None:
    fd, _ = blob
    async with Pumps(threads=1) as pumps:
        pass
    assert await pumps.send(wire.out_fd(), fd, each(Span(0, SIZE_BYTES))) == 0
