"""Bodies: first what a file gives, then what the source does, and never more than was promised."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.registry.bodies import send_body
from appliance.upstream.source import OriginUnreachableError

SPAN = Span(10, 40)


@dataclass
class Told:
    """A reader that does as told. `readable`: up to where the file goes."""

    readable: int
    chunk_sizes: tuple[int, ...] = ()
    is_cut: bool = False
    file_fd: int | None = 0
    span: Span = SPAN
    size_bytes: int = 100
    status: CacheStatus = CacheStatus.HIT
    noted: list[int] = field(default_factory=list)
    started_at: list[int] = field(default_factory=list)
    cuts: list[Callable[[], None]] = field(default_factory=list)

    async def spans(self) -> AsyncIterator[Span]:
        yield Span(self.span.start, self.readable)

    def is_streamable(self) -> bool:
        return bool(self.chunk_sizes)

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        self.started_at.append(start)
        for size in self.chunk_sizes:
            yield bytes(size)
        if self.is_cut:
            raise OriginUnreachableError("cut on cue")

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        self.cuts.append(cut)

    def note_sent(self, sent_bytes: int) -> None:
        self.noted.append(sent_bytes)

    def close(self) -> None:
        raise AssertionError("the door closes it")


@dataclass
class Gate:
    """A way out. `allowed`: after so many bytes of a file the client is gone."""

    allowed: int = 1000
    sent: int = 0

    async def send_spans(
        self, file_fd: int, spans: AsyncIterator[Span], note_sent: Callable[[int], None]
    ) -> int:
        async for span in spans:
            sent = min(span.size_bytes, self.allowed)
            self.sent += sent
            note_sent(sent)
        return self.sent

    async def write(self, chunk: bytes) -> None:
        self.sent += len(chunk)


@pytest.mark.parametrize(
    ("reader", "is_whole", "noted"),
    [
        pytest.param(Told(40), True, [30], id="all from the file"),
        pytest.param(Told(25), False, [15], id="a fill that failed"),
        pytest.param(Told(25, (10, 5)), True, [15, 10, 5], id="the rest past the store"),
        pytest.param(Told(25, (10,), is_cut=True), False, [15, 10], id="and the origin gone"),
        pytest.param(Told(40, (30,)), True, [30], id="nothing twice"),
        pytest.param(Told(0, (30,), file_fd=None), True, [30], id="nothing from a file"),
    ],
)
async def test_a_body_is_whole_or_known_to_be_cut(
    reader: Told, noted: list[int], *, is_whole: bool
) -> None:
    gate = Gate()
    assert await send_body(reader, gate) == is_whole
    assert reader.noted == noted
    assert gate.sent == sum(noted)
    assert reader.started_at in ([], [SPAN.start + noted[0]], [SPAN.start])


@dataclass
class Waiting(Gate):
    """A way out to a client that takes nothing, until its bytes turn out to be wrong."""

    reader: Told | None = None

    async def send_spans(
        self, file_fd: int, spans: AsyncIterator[Span], note_sent: Callable[[int], None]
    ) -> int:
        assert self.reader is not None
        self.reader.cuts[0]()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


async def test_a_body_whose_bytes_turn_out_wrong_is_cut() -> None:
    reader = Told(40)
    assert not await send_body(reader, Waiting(reader=reader))
    for cut in reader.cuts[1:]:
        cut()  # Too late to hurt.


async def test_a_client_that_leaves_gets_no_more() -> None:
    reader = Told(40)
    assert not await send_body(reader, Gate(allowed=7))
    assert reader.noted == [7]
