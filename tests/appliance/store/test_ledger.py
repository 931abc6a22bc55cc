"""The ledger: counts add up, moves stay in order, and damage is never papered over."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.delivery import Delivery
from appliance.policy.learning import Subject
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference, parse_model_name
from appliance.store.faults import LedgerDamagedError
from appliance.store.ledger import Ledger
from appliance.store.records import Pulls, ScrubMark, TagMove, TokenRecord
from tests.appliance.store.samples import LATEST, NOON, TINY

OLD, NEW = digest_of(b"old"), digest_of(b"new")
COUNTS = st.dictionaries(st.sampled_from(["hits", "misses", "bytes"]), st.integers(0, 2**40))


@given(st.lists(st.tuples(st.sampled_from(["2026-01-01", "2026-01-02"]), COUNTS), max_size=6))
def test_totals_are_the_sums_of_the_days(
    tmp_path_factory: pytest.TempPathFactory, added: list[tuple[str, dict[str, int]]]
) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("ledger"))
    expected: dict[str, int] = {}
    by_day: dict[str, dict[str, int]] = {}
    for day, counts in added:
        ledger.add_totals(day, counts)
        for name, count in counts.items():
            expected[name] = expected.get(name, 0) + count
            of_day = by_day.setdefault(day, {})
            of_day[name] = of_day.get(name, 0) + count
    assert ledger.totals() == expected
    assert ledger.totals_by_day() == by_day
    ledger.close()


def test_hours_are_their_day_s_and_old_ones_are_forgotten(ledger: Ledger) -> None:
    for hour in ("2026-01-01T22", "2026-01-01T23", "2026-01-02T00"):
        ledger.add_totals(hour, {"hits": 2}, kept_from="2026-01-01T23")
    assert ledger.totals_by_hour() == {
        "2026-01-01T23": {"hits": 2},
        "2026-01-02T00": {"hits": 2},
    }
    assert ledger.totals_by_day() == {"2026-01-01": {"hits": 4}, "2026-01-02": {"hits": 2}}


def test_clients_are_counted_by_day_and_told_together(ledger: Ledger) -> None:
    ledger.add_client_totals("2026-01-01", {"10.0.0.9": {"pulls": 1}, "fd00::9": {"pulls": 5}})
    ledger.add_client_totals("2026-01-02", {"10.0.0.9": {"pulls": 2, "served_bytes": 7}})
    assert ledger.client_totals()["10.0.0.9"] == {"pulls": 3, "served_bytes": 7}
    ledger.forget_clients(kept_from="2026-01-02")
    assert ledger.client_totals() == {"10.0.0.9": {"pulls": 2, "served_bytes": 7}}


def test_moves_are_told_oldest_first_and_for_their_tag_alone(ledger: Ledger) -> None:
    later, earlier = TagMove(LATEST, NEW, OLD, NOON + 1), TagMove(LATEST, OLD, NEW, NOON)
    ledger.record_move(later)
    ledger.record_move(earlier)
    ledger.record_move(TagMove(Reference(TINY, "latest2"), OLD, NEW, NOON))
    assert ledger.moves(LATEST) == [earlier, later]


def test_a_move_recorded_twice_is_one(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.record_move(TagMove(LATEST, OLD, NEW, NOON))
    assert len(ledger.moves(LATEST)) == 1


def test_pulls_are_counted_and_the_last_is_kept(ledger: Ledger) -> None:
    for at in (NOON, NOON + 5, NOON + 2):
        ledger.note_pulled(LATEST, at)
    assert ledger.pulls() == {"library/tiny:latest": Pulls(NOON + 5, 3)}


def test_exactly_the_lessons_of_last_time_are_kept(ledger: Ledger) -> None:
    one, other = (Subject("10.0.0.9", each, Delivery.TLS) for each in (None, (0, 36, 0)))
    for lessons in ({one: NOON, other: NOON + 1}, {other: NOON + 2}, {}):
        ledger.replace_lessons(lessons)
        assert ledger.lessons() == lessons


def test_a_ledger_knows_whose_it_is(ledger: Ledger) -> None:
    assert ledger.store_id is None
    ledger.belong_to("abc")
    assert ledger.store_id == "abc"


def test_all_of_it_is_there_after_opening_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, map_size_bytes=64 * 1024)
    for number in range(500):
        ledger.add_totals(f"day {number}", {"hits": number, "misses": 1})
    ledger.close()
    ledger = Ledger(tmp_path)
    assert ledger.totals() == {"hits": sum(range(500)), "misses": 500}
    assert len(ledger.totals_by_day()) == 500
    ledger.close()


def test_a_damaged_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"no database at all")
    with pytest.raises(LedgerDamagedError) as caught:
        Ledger(tmp_path)
    assert "backup" in caught.value.hint
    assert (tmp_path / "data.mdb").read_bytes() == b"no database at all"


def test_pins_are_kept_by_reference(ledger: Ledger) -> None:
    ledger.pin(LATEST)
    ledger.pin(LATEST)
    assert ledger.pins() == {str(LATEST)}
    ledger.unpin(LATEST)
    ledger.unpin(LATEST)
    assert ledger.pins() == set()


def test_a_token_is_remembered_until_it_has_expired(ledger: Ledger) -> None:
    first, second = (TokenRecord(name, name, "admin", 0, 100) for name in "ab")
    ledger.record_token(first, now=0)
    ledger.record_token(replace(first, is_revoked=True), now=0)
    ledger.record_token(second, now=99)
    assert ledger.find_token("a") == replace(first, is_revoked=True)
    assert {each.token_id for each in ledger.tokens()} == {"a", "b"}
    ledger.record_token(TokenRecord("c", "c", "viewer", 100, 200), now=100)
    assert [each.token_id for each in ledger.tokens()] == ["c"]
    assert ledger.find_token("a") is None


def test_the_scrub_s_place_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.scrub_mark is None
    mark = ScrubMark(NOON, NOON + 5, OLD, 16)
    ledger.note_scrubbed(mark)
    ledger.close()
    again = Ledger(tmp_path / "ledger")
    assert again.scrub_mark == mark
    again.close()


def test_a_pause_and_wishes_are_kept_in_the_order_of_wishing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    assert not ledger.is_paused
    ledger.pause(is_paused=True)
    for at, name in ((20, "ape"), (10, "zebra"), (30, "bee")):
        ledger.wish(parse_model_name(name), at)
    ledger.unwish(parse_model_name("bee"))
    ledger.close()
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.is_paused
    assert ledger.wishes() == ["library/zebra:latest", "library/ape:latest"]
    ledger.pause(is_paused=False)
    ledger.pause(is_paused=False)
    assert not ledger.is_paused
    ledger.close()
