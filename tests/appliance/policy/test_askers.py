"""Evidence of who finds our names: what was asked, by whom, and who came himself."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.askers import ADDRESSES_MAX, KNOWN_SECONDS, Askers

NOON = 43_200.0
ROUTER, ONE, OTHER = "192.168.1.1", "192.168.1.20", "192.168.1.21"


def test_who_asked_finds_them_for_an_hour() -> None:
    askers = Askers()
    assert not askers.find_our_names(ONE, NOON)
    assert not askers.are_there(NOON)
    askers.note_question(ONE, NOON)
    askers.note_visit(ONE, NOON + 1)
    for later, is_known in ((0, True), (KNOWN_SECONDS, True), (KNOWN_SECONDS + 1, False)):
        assert askers.find_our_names(ONE, NOON + later) is is_known
        assert askers.are_there(NOON + later) is is_known


def test_a_router_asks_for_all() -> None:
    askers = Askers()
    askers.note_question(ROUTER, NOON)
    askers.note_visit(ONE, NOON)
    assert askers.find_our_names(ONE, NOON)
    assert askers.find_our_names(OTHER, NOON)


def test_who_comes_himself_asked_for_himself() -> None:
    askers = Askers()
    askers.note_question(ONE, NOON)
    askers.note_visit(ONE, NOON)
    assert not askers.find_our_names(OTHER, NOON)


def test_who_asks_by_ipv4_may_dial_by_ipv6() -> None:
    askers = Askers()
    askers.note_question(ONE, NOON)
    askers.note_visit(ONE, NOON)
    assert askers.find_our_names("2001:db8::20", NOON)


def test_who_came_long_ago_may_be_a_router_by_now() -> None:
    askers = Askers()
    askers.note_visit(ROUTER, NOON)
    askers.note_question(ROUTER, NOON + KNOWN_SECONDS + 1)
    assert askers.find_our_names(OTHER, NOON + KNOWN_SECONDS + 1)


def test_the_oldest_is_forgotten() -> None:
    askers = Askers()
    for number in range(ADDRESSES_MAX + 1):
        askers.note_question(f"asker {number}", NOON)
        askers.note_visit(f"asker {number}", NOON)
    assert not askers.find_our_names("asker 0", NOON)
    assert askers.find_our_names("asker 1", NOON)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([ROUTER, ONE, OTHER]), st.floats(0, 9_000))),
    st.sampled_from([ROUTER, ONE, OTHER]),
)
def test_nobody_is_known_where_nobody_asked_lately(
    events: list[tuple[bool, str, float]], address: str
) -> None:
    askers, now = Askers(), 9_000.0
    for is_question, who, at in sorted(events, key=lambda each: each[2]):
        (askers.note_question if is_question else askers.note_visit)(who, at)
    asked = {who for is_question, who, at in events if is_question and now - at <= KNOWN_SECONDS}
    assert askers.are_there(now) == bool(asked)
    assert askers.find_our_names(address, now) <= bool(asked)
    assert askers.find_our_names(address, now) >= (address in asked)
