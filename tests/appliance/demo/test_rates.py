"""Rates, by counting: a clock that only sleeping moves."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.rates import ALLOWANCE_SECONDS, Bucket, Line


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def send(line: Line, total_bytes: int) -> None:
    transfer, sent = line.open_transfer(), 0
    while sent < total_bytes:
        size_bytes = min(transfer.chunk_size_bytes, total_bytes - sent)
        await transfer.wait(size_bytes)
        sent += size_bytes


@given(rate=st.integers(1, 10**9), sizes=st.lists(st.integers(1, 10**6), min_size=1))
def test_what_was_bought_never_leaves_sooner_than_the_rate_allows(
    rate: int, sizes: list[int]
) -> None:
    bucket, now = Bucket(rate), 100.0
    for size in sizes:
        now += bucket.buy(size, now)
    assert now - 100.0 >= sum(sizes) / rate - ALLOWANCE_SECONDS - 1e-6


def test_an_idle_bucket_saves_nothing_up() -> None:
    bucket = Bucket(1000)
    bucket.buy(1000, now=0.0)
    assert bucket.buy(1000, now=3600.0) == pytest.approx(1.0 - ALLOWANCE_SECONDS)


def test_no_limit_never_waits() -> None:
    assert Bucket(None).buy(10**12, now=0.0) == 0


async def test_one_transfer_keeps_to_the_connection_rate() -> None:
    clock = Clock()
    line = Line(None, 10_000, clock=lambda: clock.now, sleep=clock.sleep)
    await send(line, 50_000)
    assert 4.9 <= clock.now <= 5.0


async def test_transfers_share_the_total_rate() -> None:
    clock = Clock()
    line = Line(10_000, None, clock=lambda: clock.now, sleep=clock.sleep)
    await send(line, 30_000)
    await send(line, 20_000)
    assert 4.9 <= clock.now <= 5.0


async def test_chunks_shrink_with_the_rate_so_that_the_stream_is_smooth() -> None:
    assert Line(1_000_000).open_transfer().chunk_size_bytes == 10_000
    assert Line(10**9, 500_000).open_transfer().chunk_size_bytes == 5_000
    assert Line().open_transfer().chunk_size_bytes == 256 * 1024


async def test_the_total_may_change_while_it_runs() -> None:
    line = Line()
    line.total_bytes_per_second = 1000
    assert line.total_bytes_per_second == 1000
    waiting = asyncio.wait_for(line.open_transfer().wait(10), timeout=5)
    await waiting
