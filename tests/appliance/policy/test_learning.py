"""Learning: what a Location that nobody fetched from teaches, whom it concerns, how it ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy import learning as learning_module
from appliance.policy.delivery import Delivery
from appliance.policy.grants import Grant
from appliance.policy.learning import (
    AGAIN_SECONDS,
    LESSON_SECONDS,
    PART_SECONDS,
    Learning,
    Subject,
)
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Repository

NOON = 1_700_000_000.0
WEIGHTS, LICENCE = digest_of(b"weights"), digest_of(b"licence")
GRANT = Grant(WEIGHTS, Repository("library", "tiny"), int(NOON))
OTHER_GRANT = replace(GRANT, digest=LICENCE)
ADDRESS, VERSION = "192.168.1.20", (0, 35, 1)
SUBJECT = Subject(ADDRESS, VERSION, Delivery.REDIRECT)
MISSED = frozenset({Delivery.REDIRECT})


@pytest.fixture
def learning() -> Learning:
    return Learning()


@pytest.fixture
def taught(learning: Learning) -> Learning:
    """It was given a redirect at NOON and left it alone."""
    learning.note_given(SUBJECT, GRANT, NOON)
    assert learning.missed(ADDRESS, VERSION, None, NOON + PART_SECONDS) == MISSED
    return learning


def missed(learning: Learning, at: float) -> frozenset[Delivery]:
    return learning.missed(ADDRESS, VERSION, None, at)


def test_nothing_is_known_of_a_stranger(learning: Learning) -> None:
    assert missed(learning, NOON) == frozenset()


def test_no_part_in_five_seconds_is_a_lesson(learning: Learning) -> None:
    learning.note_given(SUBJECT, GRANT, NOON)
    assert missed(learning, NOON + PART_SECONDS - 0.1) == frozenset()
    assert missed(learning, NOON + PART_SECONDS) == MISSED
    assert learning.current(NOON + PART_SECONDS) == {SUBJECT: NOON + PART_SECONDS}


def test_who_asks_for_the_same_blob_again_did_not_take_it(learning: Learning) -> None:
    """A person who repeats a failed command is quicker than five seconds."""
    learning.note_given(SUBJECT, GRANT, NOON)
    again = NOON + AGAIN_SECONDS
    assert learning.missed(ADDRESS, VERSION, LICENCE, again) == frozenset()
    assert learning.missed(ADDRESS, VERSION, WEIGHTS, again - 0.1) == frozenset()
    assert learning.missed(ADDRESS, VERSION, WEIGHTS, again) == MISSED


def test_a_part_in_time_teaches_nothing(learning: Learning) -> None:
    learning.note_given(SUBJECT, GRANT, NOON)
    learning.note_part(GRANT)
    assert missed(learning, NOON + 1000) == frozenset()


def test_a_part_settles_all_that_the_same_client_was_given(learning: Learning) -> None:
    learning.note_given(SUBJECT, GRANT, NOON)
    learning.note_given(SUBJECT, OTHER_GRANT, NOON + 1)
    learning.note_part(OTHER_GRANT)
    assert missed(learning, NOON + 1000) == frozenset()


def test_a_part_that_comes_late_clears_the_lesson(taught: Learning) -> None:
    taught.note_part(GRANT)
    assert missed(taught, NOON + PART_SECONDS + 1) == frozenset()
    assert taught.lessons == {}


def test_a_lesson_holds_for_a_week(taught: Learning) -> None:
    learnt_at = NOON + PART_SECONDS
    assert missed(taught, learnt_at + LESSON_SECONDS - 1) == MISSED
    assert missed(taught, learnt_at + LESSON_SECONDS) == frozenset()
    assert taught.current(learnt_at + LESSON_SECONDS) == {}


def test_a_lesson_of_the_future_is_none(taught: Learning) -> None:
    assert missed(taught, NOON) == frozenset()


@pytest.mark.parametrize(
    ("address", "version"),
    [(ADDRESS, (0, 35, 0)), (ADDRESS, None), ("192.168.1.21", VERSION)],
)
def test_a_lesson_concerns_one_version_at_one_address(
    taught: Learning, address: str, version: tuple[int, int, int] | None
) -> None:
    assert taught.missed(address, version, None, NOON + PART_SECONDS) == frozenset()


def test_a_lesson_concerns_one_kind_of_location(taught: Learning) -> None:
    learnt_at = NOON + PART_SECONDS
    tls = replace(SUBJECT, delivery=Delivery.TLS)
    taught.note_given(tls, OTHER_GRANT, learnt_at)
    taught.note_part(OTHER_GRANT)
    assert missed(taught, learnt_at + 1000) == MISSED
    taught.note_given(tls, OTHER_GRANT, learnt_at + 1000)
    assert missed(taught, learnt_at + 2000) == {Delivery.REDIRECT, Delivery.TLS}


def test_lessons_are_there_in_the_next_life(taught: Learning) -> None:
    again = Learning(taught.lessons)
    assert missed(again, NOON + 1000) == MISSED
    again.clear()
    assert missed(again, NOON + 1000) == frozenset()


def test_what_is_cleared_is_not_learnt_from_an_old_location(learning: Learning) -> None:
    learning.note_given(SUBJECT, GRANT, NOON)
    learning.clear()
    assert missed(learning, NOON + 1000) == frozenset()


def test_a_change_makes_another_object(taught: Learning) -> None:
    before = taught.lessons
    taught.note_part(OTHER_GRANT)
    missed(taught, NOON + 1000)
    assert taught.lessons is before
    taught.note_part(GRANT)
    assert taught.lessons is not before


def test_a_grant_tells_whose_parts_they_are(learning: Learning) -> None:
    other = replace(SUBJECT, client_address="192.168.1.21")
    assert not learning.is_another_s(GRANT, SUBJECT)
    learning.note_given(SUBJECT, GRANT, NOON)
    assert not learning.is_another_s(GRANT, SUBJECT)
    assert learning.is_another_s(GRANT, other)
    assert learning.is_another_s(GRANT, None)
    assert not learning.is_another_s(OTHER_GRANT, other)


def test_a_flood_of_clients_makes_the_oldest_forgotten(
    learning: Learning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning_module, "GIVEN_MAX", 3)
    monkeypatch.setattr(learning_module, "LESSONS_MAX", 2)
    subjects = [replace(SUBJECT, client_address=f"192.168.1.{number}") for number in range(5)]
    for number, subject in enumerate(subjects):
        learning.note_given(subject, replace(GRANT, expires_at=number), NOON + number)
    for number, subject in enumerate(subjects):
        at = NOON + 100 + number
        is_missed = learning.missed(subject.client_address, VERSION, None, at) == MISSED
        assert is_missed == (number >= 2)
    assert set(learning.current(NOON + 200)) == set(subjects[3:])


subjects = st.builds(
    Subject,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.sampled_from([None, (0, 35, 1)]),
    st.sampled_from([Delivery.REDIRECT, Delivery.TLS, Delivery.LOCATION]),
)
acts = st.tuples(st.sampled_from(["given", "part", "asks"]), subjects, st.floats(0, 20))


@given(st.lists(acts, max_size=30))
def test_only_what_was_given_and_not_fetched_since_is_missed(
    history: list[tuple[str, Subject, float]],
) -> None:
    """The oracle: the first Location after the last part, and whether five seconds have passed."""
    learning, now = Learning(), NOON
    since: dict[Subject, float] = {}
    known: set[Subject] = set()
    grants: dict[Subject, Grant] = {}
    for number, (act, subject, pause) in enumerate(history):
        now += pause
        told = learning.missed(subject.client_address, subject.version, None, now)
        mates = {each for each in since if _is_same_client(each, subject)}
        for mate in mates:
            if now - since[mate] >= PART_SECONDS:
                known.add(mate)
                del since[mate]
        assert told == {each.delivery for each in known if _is_same_client(each, subject)}
        if act == "given":
            grants[subject] = replace(GRANT, expires_at=number)
            learning.note_given(subject, grants[subject], now)
            since.setdefault(subject, now)
        elif act == "part" and subject in grants:
            learning.note_part(grants[subject])
            since.pop(subject, None)
            known.discard(subject)


def _is_same_client(one: Subject, other: Subject) -> bool:
    return (one.client_address, one.version) == (other.client_address, other.version)
