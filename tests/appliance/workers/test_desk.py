"""The box's end of a line: what it does with trouble, its own and the worker's.

What it answers is tested by the tests of addons/registry and addons/inline, which run across lines.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from appliance.policy.delivery import Door
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.registry.requests import BlobAnswer, Reply, Request
from appliance.workers.desk import Desk
from appliance.workers.lines import Line, LineGoneError, open_line
from appliance.workers.words import format_request

REQUEST = Request(Door.HTTPS, "GET", "/v2/", "x", None, "192.0.2.1", "192.0.2.2")


class EndlessReader:
    """A reader whose bytes never become readable."""

    span = Span(0, 10)
    size_bytes = 10
    status = CacheStatus.MISS
    file_fd: int | None = None

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.sent_bytes = 0

    async def spans(self) -> AsyncIterator[Span]:
        await asyncio.Event().wait()
        yield self.span

    def is_streamable(self) -> bool:
        return False

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        raise AssertionError("not asked for")
        yield b""

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        self.cut = cut

    def note_sent(self, sent_bytes: int) -> None:
        self.sent_bytes += sent_bytes

    def close(self) -> None:
        self.closed.set()


class Giving:
    """A registry with one answer; or a fault of ours."""

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply

    async def answer(self, request: Request) -> Reply:
        if self.reply is None:
            raise RuntimeError("a fault of ours")
        return self.reply


async def nowhere(_: str) -> tuple[str, ...]:
    return ()


async def test_a_reader_is_closed_and_counted_when_its_worker_is_gone() -> None:
    reader = EndlessReader()
    here, there = open_line()
    async with asyncio.TaskGroup() as group:
        group.create_task(Desk(Giving(BlobAnswer(200, {}, reader)), nowhere).serve(Line(there)))
        await here.send(format_request(REQUEST))
        assert (await here.receive()).words["blob"] == 200
        assert here.tell({"sent": 7})
        here.close()
        await reader.closed.wait()
    assert reader.sent_bytes == 7


async def test_a_fault_of_ours_is_logged_and_closes_the_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = open_line()
    async with asyncio.TaskGroup() as group:
        group.create_task(Desk(Giving(None), nowhere).serve(Line(there)))
        await here.send(format_request(REQUEST))
        with pytest.raises(LineGoneError):
            await here.receive()
    here.close()
    (record,) = caplog.get_records("call")
    assert (record.levelno, record.name) == (logging.ERROR, "workers")
