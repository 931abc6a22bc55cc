"""A registry on a cache that goes away, in front of a scripted source with one model."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.cache.accounts import Uncounted
from appliance.cache.pulls import Cache
from appliance.policy import backoff
from appliance.policy.delivery import DeliveryPolicy
from appliance.policy.eviction import Budget
from appliance.registry.blobs import BlobRoutes
from appliance.registry.registry import Registry
from appliance.store.store import open_store
from appliance.upstream.builtin import BUILTIN
from tests.appliance.cache.pulling import CONTENT, LATEST, Clock
from tests.appliance.registry.requesting import BLOB_HOST
from tests.appliance.store.samples import manifest_of
from tests.fakes.source import FakeSource


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    monkeypatch.setattr(backoff, "DELAY_SECONDS_MIN", 0.0)
    source = FakeSource()
    source.publish(LATEST, manifest_of(CONTENT, b""), CONTENT, b"")
    return source


@pytest.fixture
async def cache(source: FakeSource, clock: Clock, tmp_path: Path) -> AsyncIterator[Cache]:
    with open_store(tmp_path / "state") as store:
        async with Cache(
            store,
            lambda _: source,
            now=clock,
            fresh_seconds=60,
            budget=lambda: Budget(0, 2**60),
            uncounted=Uncounted(BUILTIN.repository, ()),
        ) as cache:
            yield cache


@pytest.fixture
def blobs(cache: Cache, clock: Clock) -> BlobRoutes:
    policy = DeliveryPolicy(refuse_private_from=(0, 35, 2))
    return BlobRoutes(
        cache,
        policy,
        b"s" * 32,
        address="",
        port=8080,
        blob_host=BLOB_HOST,
        tls_port=443,
        is_blob_host_offered=lambda request: False,
        proxy_port=3128,
        now=clock,
    )


@pytest.fixture
def registry(cache: Cache, blobs: BlobRoutes) -> Registry:
    return Registry(cache, blobs)
