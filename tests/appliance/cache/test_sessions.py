"""Sessions: each body is its pull's, by the address and the manifest; all of it is bounded."""

import pytest

from appliance.cache import sessions as room
from appliance.cache.clients import ClientAccounts
from appliance.cache.pulls import Cache
from appliance.cache.session import State, Supply
from appliance.cache.sessions import REMEMBERED_SECONDS, Sessions
from appliance.protocol.digest import Digest
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository
from appliance.store.store import Store
from appliance.upstream.builtin import BUILTIN
from tests.appliance.cache.pulling import CONTENT, DIGEST, LATEST, TINY, Clock, find, read
from tests.appliance.store.samples import manifest_of
from tests.fakes.source import FakeSource

ANN, BOB = "10.0.0.1", "10.0.0.2"
SIZE = len(CONTENT)
OTHER = Digest("b" * 64)
SMALL = b"small"


class Whole:
    """A reader of a whole blob that somebody else tells what was sent."""

    span = Span(0, SIZE)
    size_bytes = SIZE
    file_fd = 7

    def __init__(self, status: CacheStatus = CacheStatus.HIT) -> None:
        self.status = status
        self.sent_bytes = 0
        self.closed = 0

    def note_sent(self, sent_bytes: int) -> None:
        self.sent_bytes += sent_bytes

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def ticking() -> Clock:
    return Clock(50.0)


@pytest.fixture
def accounts() -> ClientAccounts:
    return ClientAccounts(is_kept=True)


@pytest.fixture
def sessions(store: Store, accounts: ClientAccounts, clock: Clock, ticking: Clock) -> Sessions:
    return Sessions(store, accounts, now=clock, clock=ticking)


def watch(
    sessions: Sessions,
    address: str = ANN,
    status: CacheStatus = CacheStatus.HIT,
    digest: Digest = DIGEST,
) -> room.WatchedReader:
    return sessions.watch(address, TINY, digest, Whole(status))  # type: ignore[arg-type]


async def test_a_body_is_its_pull_s_by_the_manifest_that_preceded(
    cache: Cache, source: FakeSource
) -> None:
    twob = Reference(TINY, "2b")
    for reference, blob in ((LATEST, CONTENT), (twob, SMALL)):
        source.publish(reference, manifest_of(blob), blob)
        found = await find(cache, reference=reference)
        cache.note_given(ANN, reference, found.digest)
    opened = await cache.open_blob(TINY, DIGEST, SIZE, Span(0, SIZE))
    reader = cache.watch(ANN, TINY, DIGEST, opened)
    assert await read(reader) == CONTENT
    (session,) = cache.sessions.active
    assert (session.reference, session.client_address) == (LATEST, ANN)
    assert dict(session.blobs) == {DIGEST: SIZE}


async def test_the_box_s_own_pull_is_nobody_s(cache: Cache, source: FakeSource) -> None:
    own = BUILTIN.repository
    cache.note_given(ANN, Reference(own, "latest"), DIGEST)
    reader = Whole()
    assert cache.watch(ANN, own, DIGEST, reader) is reader  # type: ignore[arg-type, comparison-overlap]
    assert cache.sessions.active == []


def test_bytes_count_twice_and_the_reader_is_closed_once(sessions: Sessions) -> None:
    inner = Whole()
    reader = sessions.watch(ANN, TINY, DIGEST, inner)  # type: ignore[arg-type]
    reader.note_sent(100)
    (session,) = sessions.active
    assert (inner.sent_bytes, session.sent_bytes) == (100, 100)
    assert reader.file_fd == 7
    reader.close()
    reader.close()
    assert session.sent_bytes == 100
    assert reader.file_fd is None


def test_clients_and_models_are_told_apart(sessions: Sessions) -> None:
    watch(sessions, ANN)
    watch(sessions, ANN)
    watch(sessions, BOB)
    sessions.watch(ANN, Repository("library", "other"), DIGEST, Whole())  # type: ignore[arg-type]
    assert len(sessions.active) == sessions.count == 3


def test_who_joins_another_s_download_waits_and_all_parts_of_a_pull_are_alike(
    sessions: Sessions,
) -> None:
    miss, joined = CacheStatus.MISS, CacheStatus.COLLAPSED
    readers = [watch(sessions, ANN, miss), watch(sessions, ANN, joined)]
    for _ in range(2):
        watch(sessions, BOB, joined)
    watch(sessions, "10.0.0.3", CacheStatus.HIT)
    watch(sessions, "10.0.0.4", CacheStatus.UNCACHED)
    supplies = [each.supply for each in sessions.active]
    assert supplies == [Supply.INTERNET, Supply.WAITING, Supply.CACHE, Supply.INTERNET]
    for reader in readers:
        reader.close()
    assert watch(sessions, "10.0.0.5", joined) is not None
    assert sessions.active[-1].supply is Supply.WAITING  # Bob still draws on it.


def test_a_download_that_nobody_else_waits_for_is_one_s_own(sessions: Sessions) -> None:
    """As after a restart of the box, which goes on with what was unfinished."""
    watch(sessions, ANN, CacheStatus.COLLAPSED)
    assert sessions.active[0].supply is Supply.INTERNET


def test_a_model_that_is_pulled_again_is_another_session(
    sessions: Sessions, clock: Clock, ticking: Clock
) -> None:
    for _ in range(2):
        sessions.note_manifest(ANN, LATEST, OTHER)
        reader = watch(sessions)
        reader.note_sent(SIZE)
        reader.close()
    assert sessions.count == 1  # What no manifest is known to list has no reference.
    sessions.look()
    ticking.now += 20
    sessions.look()
    assert [each.state for each in sessions.recent] == [State.DONE]


async def test_a_second_pull_of_a_model_starts_from_nothing_and_a_resumed_one_goes_on(
    cache: Cache, source: FakeSource
) -> None:
    source.publish(LATEST, manifest_of(CONTENT), CONTENT)
    found = await find(cache)

    def begin(sent_bytes: int) -> None:
        cache.note_given(ANN, LATEST, found.digest)
        reader = cache.watch(ANN, TINY, DIGEST, Whole())  # type: ignore[arg-type]
        reader.note_sent(sent_bytes)
        reader.close()

    begin(100)
    begin(SIZE)
    assert cache.sessions.count == 1
    begin(50)
    assert cache.sessions.count == 2
    assert [each.sent_bytes for each in cache.sessions.recent] == [SIZE + 100]
    assert [each.sent_bytes for each in cache.sessions.active] == [50]


def test_what_is_over_is_remembered_for_some_minutes(sessions: Sessions, ticking: Clock) -> None:
    reader = watch(sessions)
    reader.note_sent(SIZE)
    reader.close()
    ticking.now += 60
    sessions.look()
    assert (len(sessions.active), len(sessions.recent)) == (0, 1)
    ticking.now += REMEMBERED_SECONDS
    sessions.look()
    sessions.look()
    assert sessions.recent == []


def test_sessions_are_bounded_and_those_that_are_over_go_first(
    sessions: Sessions, ticking: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "SESSIONS_MAX", 3)
    monkeypatch.setattr(room, "MANIFESTS_NOTED_MAX", 3)
    held = watch(sessions, "10.0.1.0")
    watch(sessions, "10.0.1.1").close()
    ticking.now += 60
    sessions.look()
    for number in range(2, 5):
        sessions.note_manifest(f"10.0.1.{number}", LATEST, OTHER)
        watch(sessions, f"10.0.1.{number}")
    assert [each.client_address for each in sessions.active][-1] == "10.0.1.4"
    assert len(sessions.active) + len(sessions.recent) <= 6
    held.note_sent(5)
    held.close()  # Its session was let go of; nothing breaks.
    for number in range(20):
        sessions.note_manifest(f"10.0.2.{number}", LATEST, OTHER)
    assert len(sessions._noted) == 3


def test_each_client_s_account_has_every_byte_once(
    sessions: Sessions, accounts: ClientAccounts
) -> None:
    written: list[object] = []
    reader = watch(sessions)
    for size in (10, 20):
        reader.note_sent(size)
        sessions.look()
        accounts.save(written.append)
    reader.close()
    sessions.look()
    accounts.save(written.append)
    assert written == [{ANN: {"pulls": 1, "served_bytes": 10}}, {ANN: {"served_bytes": 20}}]
