"""A cache on a store that goes away, in front of a scripted source."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.store.store import Store, open_store
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from tests.appliance.cache.pulling import Clock, make_cache
from tests.fakes.disk import FailingDisk
from tests.fakes.source import FakeSource


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def store(tmp_path: Path, disk: FailingDisk) -> Iterator[Store]:
    with open_store(tmp_path / "state", disk=disk) as store:
        yield store


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def uncounted() -> Uncounted:
    return Uncounted(BUILTIN.repository, BuiltinSource().digests)


@pytest.fixture
async def cache(
    store: Store, source: FakeSource, clock: Clock, uncounted: Uncounted
) -> AsyncIterator[Cache]:
    async with make_cache(store, source, clock, uncounted) as cache:
        yield cache
