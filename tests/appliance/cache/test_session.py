"""A session: every byte that leaves is counted, and no byte twice as progress."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.cache.session import (
    LEFT_SECONDS,
    SETTLED_SECONDS,
    STALLED_SECONDS,
    Session,
    State,
    Supply,
    Transfer,
)
from appliance.protocol.digest import digest_of
from tests.appliance.cache.pulling import LATEST, TINY

WEIGHTS, LICENSE = digest_of(b"weights"), digest_of(b"license")
SIZES = {WEIGHTS: 1000, LICENSE: 10}


def start(**changed: object) -> Session:
    told = {"reference": LATEST, "blobs": SIZES} | changed
    return Session("10.0.0.9", TINY, started_at=5.0, began=100.0, **told)  # type: ignore[arg-type]


def part(start: int = 0, *, supply: Supply = Supply.CACHE) -> Transfer:
    return Transfer(WEIGHTS, SIZES[WEIGHTS], start, supply)


def looked(session: Session, now: float) -> State:
    session.look(now)
    return session.state


def send(session: Session, transfer: Transfer, size: int, now: float) -> None:
    session.begin(transfer, now)
    transfer.sent_bytes += size
    session.end(transfer, now)


def test_bytes_count_while_they_leave() -> None:
    session, transfer = start(), part()
    session.begin(transfer, 100.0)
    for second in range(1, 6):
        transfer.sent_bytes += 100
        session.look(100.0 + second)
    assert (session.sent_bytes, session.covered_bytes) == (500, 500)
    assert (session.state, session.files_served, session.files_total) == (State.ACTIVE, 0, 2)
    assert session.progress == 500 / 1010
    assert session.bytes_per_second == 100
    assert session.eta_seconds == 6  # 510 bytes, rounded up.


def test_speed_is_the_recent_one() -> None:
    session, transfer = start(), part()
    session.begin(transfer, 100.0)
    for second in range(1, 20):
        transfer.sent_bytes += 100 if second < 10 else 1
        session.look(100.0 + second)
    assert session.bytes_per_second == 1


@given(
    st.lists(st.tuples(st.integers(0, 999), st.integers(1, 1000)), max_size=20),
    st.integers(0, 20),
)
def test_a_byte_that_is_asked_for_twice_is_served_twice_and_progress_once(
    parts: list[tuple[int, int]], live: int
) -> None:
    session, sent, had = start(), 0, set[int]()
    for number, (begin, size) in enumerate(parts):
        transfer = part(begin)
        session.begin(transfer, 100.0)
        transfer.sent_bytes = min(size, 1000 - begin)
        if number >= live:
            session.end(transfer, 100.0)
        sent += transfer.sent_bytes
        had |= set(range(begin, begin + transfer.sent_bytes))
    assert session.sent_bytes == sent
    assert session.covered_bytes == len(had)
    assert 0 <= session.progress <= 1


def test_a_model_whose_every_blob_is_out_is_done_at_once() -> None:
    session = start()
    send(session, part(), 1000, 101.0)
    assert looked(session, 101.0) is State.ACTIVE
    session.begin(license_ := Transfer(LICENSE, 10, 0, Supply.CACHE), 102.0)
    license_.sent_bytes = 10
    session.end(license_, 102.0)
    session.look(102.0)
    assert (session.state, session.ended, session.files_served) == (State.DONE, 102.0, 2)
    assert (session.progress, session.bytes_per_second, session.eta_seconds) == (1.0, 0.0, None)


def test_a_client_that_had_the_rest_is_done_when_it_asks_no_more() -> None:
    session = start()
    send(session, part(), 1000, 101.0)
    assert looked(session, 101.0 + SETTLED_SECONDS - 1) is State.ACTIVE
    assert looked(session, 101.0 + SETTLED_SECONDS) is State.DONE
    assert (session.progress, session.total_bytes) == (1.0, 1000)
    session.begin(part(), 120.0)
    assert (session.state, session.ended) == (State.ACTIVE, None)


def test_a_client_that_goes_has_left() -> None:
    session = start()
    send(session, part(), 400, 101.0)
    seen = []
    for quiet in (1.0, STALLED_SECONDS, LEFT_SECONDS):
        session.look(101.0 + quiet)
        seen.append(session.state)
    assert seen == [State.ACTIVE, State.STALLED, State.LEFT]
    assert session.progress == 400 / 1010


def test_a_body_that_does_not_move_is_stalled_until_it_does() -> None:
    session, transfer = start(), part()
    session.begin(transfer, 100.0)
    assert looked(session, 100.0 + STALLED_SECONDS) is State.STALLED
    transfer.sent_bytes += 1
    assert looked(session, 101.0 + STALLED_SECONDS) is State.ACTIVE


def test_the_supply_is_the_present_one_and_in_the_end_the_dearest() -> None:
    session = start()
    session.begin(fetched := part(supply=Supply.INTERNET), 100.0)
    fetched.sent_bytes = 1000
    session.look(100.5)
    session.end(fetched, 101.0)
    session.begin(held := Transfer(LICENSE, 10, 0, Supply.CACHE), 101.0)
    assert session.supply.word == "cache"
    held.sent_bytes = 10
    session.end(held, 102.0)
    session.look(102.0)
    assert session.supply.word == "internet"


def test_a_pull_without_a_known_manifest_is_of_what_it_asks_for() -> None:
    session = start(reference=None, blobs={})
    send(session, part(), 1000, 101.0)
    session.look(102.0)
    assert (session.files_total, session.total_bytes, session.progress) == (1, 1000, 1.0)


def test_one_that_is_closed_early_has_left() -> None:
    session = start()
    session.begin(part(), 100.0)
    session.close(101.0)
    assert (session.state, session.ended) == (State.LEFT, 101.0)
