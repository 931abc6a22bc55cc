"""What is counted and pulled, kept across lives of the box; the box's own model is nobody's."""

from pathlib import Path

import pytest

from appliance.cache.accounts import Bookkeeper, Uncounted
from appliance.cache.tally import Count
from appliance.policy.delivery import Delivery
from appliance.policy.grants import Grant
from appliance.policy.learning import PART_SECONDS, Subject
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference
from appliance.store.faults import StoreFullError
from appliance.store.store import Store, open_store
from appliance.upstream.builtin import BUILTIN
from tests.appliance.cache.pulling import LATEST, TINY, Clock
from tests.appliance.store.samples import CONTENT, manifest_of, store_blob, tag_of


@pytest.fixture
def books(store: Store, uncounted: Uncounted, clock: Clock) -> Bookkeeper:
    return Bookkeeper(store, uncounted, now=clock)


def test_totals_survive_a_restart(tmp_path: Path, uncounted: Uncounted, clock: Clock) -> None:
    with open_store(tmp_path / "a") as store:
        books = Bookkeeper(store, uncounted, now=clock)
        books.tally_for(TINY).add(Count.SERVED_BYTES, 5)
        books.note_pulled(LATEST)
        books.save()
    with open_store(tmp_path / "a") as store:
        books = Bookkeeper(store, uncounted, now=clock)
        accounts = books.accounts()
        assert accounts.since_start == {}
        assert accounts.ever == {"served_bytes": 5}
        assert accounts.by_day == {"2023-11-14": {"served_bytes": 5}}
        books.tally_for(TINY).add(Count.SERVED_BYTES, 2)
        clock.now += 86_400
        books.save()
        assert books.accounts().ever == {"served_bytes": 7}
        assert books.accounts().by_day["2023-11-15"] == {"served_bytes": 2}


def test_clients_are_kept_for_so_many_days(
    store: Store, uncounted: Uncounted, clock: Clock
) -> None:
    books = Bookkeeper(store, uncounted, now=clock, client_days=2)
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        books.clients.note_pull(address)
        books.save()
        clock.now += 86_400
    clock.now -= 86_400
    assert set(books.client_totals()) == {"10.0.0.2", "10.0.0.3"}
    without = Bookkeeper(store, uncounted, now=clock)
    without.clients.note_pull("10.0.0.4")
    assert without.client_totals() == {}


def test_hours_are_counted_too(books: Bookkeeper) -> None:
    books.tally_for(TINY).add(Count.SERVED_BYTES, 5)
    books.save()
    assert books.accounts().by_hour == {"2023-11-14T22": {"served_bytes": 5}}


def test_lessons_survive_a_restart_until_they_are_cleared(
    tmp_path: Path, uncounted: Uncounted, clock: Clock
) -> None:
    subject = Subject("192.168.1.20", (0, 36, 0), Delivery.TLS)

    def known(books: Bookkeeper) -> frozenset[Delivery]:
        return books.learning.missed(subject.client_address, subject.version, None, clock.now)

    with open_store(tmp_path / "a") as store:
        books = Bookkeeper(store, uncounted, now=clock)
        books.learning.note_given(subject, Grant(digest_of(b"x"), TINY, 1), clock.now)
        clock.now += PART_SECONDS
        assert known(books) == {Delivery.TLS}
        books.save()
    with open_store(tmp_path / "a") as store:
        books = Bookkeeper(store, uncounted, now=clock)
        assert known(books) == {Delivery.TLS}
        books.learning.clear()
        books.save()
    with open_store(tmp_path / "a") as store:
        assert known(Bookkeeper(store, uncounted, now=clock)) == frozenset()


async def test_pulls_are_told_with_their_models(
    books: Bookkeeper, store: Store, clock: Clock
) -> None:
    content = manifest_of(CONTENT)
    await store.write_manifest(tag_of(content), content)
    books.note_pulled(LATEST)
    clock.now += 5
    books.note_pulled(LATEST)
    (model,) = books.models()
    assert (model.pulls, model.last_pulled_at) == (2, clock.now)


async def test_the_box_s_own_model_is_never_counted(
    books: Bookkeeper, store: Store, uncounted: Uncounted
) -> None:
    own = manifest_of(b"own")
    await store.write_manifest(tag_of(own, BUILTIN), own)
    await store.write_manifest(tag_of(own, BUILTIN, accept="*/*"), own)
    books.tally_for(BUILTIN.repository).add(Count.SERVED_BYTES, 1000)
    books.note_pulled(BUILTIN)
    books.save()
    assert books.models() == []
    assert books.accounts().since_start == {}
    assert books.accounts().ever == {}
    assert books.stats().manifest_count == 0


async def test_the_box_s_own_blobs_are_not_in_the_sizes(store: Store, clock: Clock) -> None:
    uncounted = Uncounted(BUILTIN.repository, (digest_of(b"own"), digest_of(b"not held")))
    books = Bookkeeper(store, uncounted, now=clock)
    store_blob(store, b"own")
    store_blob(store, CONTENT)
    content = manifest_of(CONTENT)
    await store.write_manifest(tag_of(content), content)
    stats = books.stats()
    assert (stats.blob_count, stats.blob_size_bytes) == (1, len(CONTENT))
    assert stats.manifest_count == 1


def test_a_ledger_that_fails_loses_no_count_and_no_pull(
    books: Bookkeeper,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    books.tally.add(Count.FILLS)
    other = Reference(TINY, "other")
    books.note_pulled(LATEST)
    books.note_pulled(other)
    noted: list[Reference] = []

    def fail_at_the_second(reference: Reference, at: float) -> None:
        if noted:
            raise StoreFullError(store.root, 1, 0)
        noted.append(reference)

    with monkeypatch.context() as broken:
        broken.setattr(store, "note_pulled", fail_at_the_second)
        books.save()
    monkeypatch.setattr(store, "note_pulled", lambda reference, at: noted.append(reference))
    books.save()
    books.save()
    assert noted == [LATEST, other]
    assert books.accounts().ever == {"fills": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
