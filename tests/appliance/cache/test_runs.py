"""Runs: orders carried out to the byte, and trouble that is one however many meet it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.cache import runs as runs_module
from appliance.cache.landing import Writer
from appliance.cache.runs import RELENT_SECONDS, Runs
from appliance.policy import backoff
from appliance.policy.runs import Orders
from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span
from appliance.store.pending import PendingBlob
from appliance.store.store import Store
from appliance.upstream.source import OriginUnreachableError
from tests.appliance.cache.pulling import CONTENT, DIGEST, TINY, until
from tests.fakes.source import FakeSource

AWAY: Exception = OriginUnreachableError("the line is cut")


class Site:
    """Runs of one pending blob, and what they told."""

    def __init__(
        self, pending: PendingBlob, source: FakeSource, group: asyncio.TaskGroup, writer: Writer
    ) -> None:
        self.pending = pending
        self.landed: list[Span] = []
        self.changes = 0
        self.runs = Runs(
            pending, source, group, writer, landed=self.landed.append, changed=self._note_change
        )

    def start(self, *spans: Span) -> None:
        self.runs.obey(Orders(start=spans))

    async def end(self) -> None:
        await until(lambda: not len(self.runs))

    def _note_change(self) -> None:
        self.changes += 1


@pytest.fixture
async def site(store: Store, source: FakeSource) -> AsyncIterator[Site]:
    source.blobs[DIGEST] = CONTENT
    pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
    async with working(pending, source) as made:
        yield made
    pending.cancel()


@asynccontextmanager
async def working(pending: PendingBlob, source: FakeSource) -> AsyncIterator[Site]:
    with Writer(pending) as writer:
        async with asyncio.TaskGroup() as group:
            site = Site(pending, source, group, writer)
            yield site
            site.runs.end()


async def test_runs_side_by_side_bring_their_spans(site: Site, source: FakeSource) -> None:
    site.start(Span(0, 2000), Span(5000, 7500))
    await site.end()
    assert list(site.pending.held) == [Span(0, 2000), Span(5000, 7500)]
    assert SpanSet(site.landed) == site.pending.held
    assert source.sent_bytes == 4500
    assert site.changes == 2


async def test_a_shortened_run_ends_where_it_is_told(site: Site, source: FakeSource) -> None:
    source.gates[1000] = asyncio.Event()
    site.start(Span(0, 8000))
    await until(lambda: len(site.landed) == 1)
    ((view),) = site.runs.views()
    assert (view.start, view.stop) == (1000, 8000)
    site.runs.obey(Orders(shorten=((view.key, 3500),)))
    source.gates[1000].set()
    await site.end()
    assert list(site.pending.held) == [Span(0, 3500)]


async def test_a_run_given_up_keeps_what_came(site: Site, source: FakeSource) -> None:
    source.gates[2000] = asyncio.Event()
    site.start(Span(0, 8000))
    await until(lambda: SpanSet(site.landed).covers(Span(0, 2000)))
    (view,) = site.runs.views()
    site.runs.obey(Orders(give_up=(view.key,)))
    await site.end()
    assert list(site.pending.held) == [Span(0, 2000)]
    assert not site.runs.will_bring(2000)


async def test_what_is_on_its_way_to_the_disk_is_not_asked_for_again(
    site: Site, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, may_write = asyncio.get_running_loop(), asyncio.Event()
    write = site.pending.write

    def slowly(offset: int, *chunks: bytes) -> None:
        asyncio.run_coroutine_threadsafe(may_write.wait(), loop).result(30)
        write(offset, *chunks)

    monkeypatch.setattr(site.pending, "write", slowly)
    source.gates[1000] = asyncio.Event()
    site.start(Span(0, 3000))
    await until(lambda: source.sent_bytes == 1000)
    await until(lambda: site.runs.received() == SpanSet([Span(0, 1000)]))
    assert not site.pending.held
    (view,) = site.runs.views()
    site.runs.obey(Orders(give_up=(view.key,)))
    assert site.runs.received() == SpanSet([Span(0, 1000)])
    may_write.set()
    await site.end()
    assert list(site.pending.held) == [Span(0, 1000)]


async def test_many_runs_meet_one_trouble(
    site: Site, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 60.0)
    source.troubles = [(500, AWAY)] * 4
    source.gates[500] = asyncio.Event()
    site.start(*(Span(start, start + 2000) for start in range(0, 8000, 2000)))
    source.gates[500].set()
    await site.end()
    assert site.runs.fault is None
    assert site.runs.allowed(16, time.monotonic()) == 0
    assert site.runs.seconds_to_look(0.25) == 0.25
    assert site.pending.held.size_bytes == 2000


async def test_after_trouble_connections_come_back_one_by_one(
    site: Site, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)
    source.troubles = [(500, AWAY)]
    site.start(Span(0, 1000))
    await site.end()
    now = time.monotonic()
    allowed = [site.runs.allowed(16, now + step * (RELENT_SECONDS + 1)) for step in range(4)]
    assert allowed == [1, 2, 3, 4]
    assert site.runs.allowed(2, now + 100) == 2


async def test_trouble_that_stays_is_a_fault_and_ends_all_starting(
    site: Site, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_module, "choose_delay", lambda *_, **__: None)
    source.troubles = [(0, AWAY)]
    site.start(Span(0, 1000))
    await site.end()
    assert site.runs.fault is AWAY
    assert site.runs.allowed(16, time.monotonic() + 1000) == 0


async def test_ended_runs_leave_nothing_under_way(site: Site, source: FakeSource) -> None:
    source.gates[0] = asyncio.Event()
    site.start(Span(0, 1000), Span(1000, 2000))
    assert site.runs.will_bring(1999)
    await until(lambda: len(source.spans) == 2)
    site.runs.end()
    await site.end()
    assert source.sent_bytes == 0


async def test_the_round_trip_is_measured(site: Site, source: FakeSource) -> None:
    believed = site.runs.round_trip_seconds
    site.start(*(Span(start, start + 100) for start in range(0, 2000, 100)))
    await site.end()
    assert site.runs.round_trip_seconds < believed
