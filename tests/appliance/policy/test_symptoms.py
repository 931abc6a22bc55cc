"""From what servers answer to what is the matter. Real servers: tests/journeys/test_symptoms.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.symptoms import (
    NOERROR,
    SILENT,
    Place,
    Reply,
    Symptom,
    Told,
    advise,
    name_symptom,
    place_server,
)

BOX, BOX_6, TRUTH, TRUTH_6 = "192.168.1.5", "2001:db8::5", "104.21.75.227", "2606:4700::1"
OWN = frozenset({BOX, BOX_6})
EMPTY, NXDOMAIN, SERVFAIL, REFUSED = (
    Reply(each) for each in (NOERROR, "NXDOMAIN", "SERVFAIL", "REFUSED")
)
HERE, WORLD = Reply(NOERROR, (BOX,)), Reply(NOERROR, ("34.36.133.15",))
HINT = Reply(NOERROR, ("1 . alpn=h2",))
NOTHING = Reply(SILENT)


def told(
    a: Reply,
    aaaa: Reply = EMPTY,
    https: Reply = EMPTY,
    unchecked: Reply | None = None,
    other: Reply = WORLD,
) -> Told:
    return Told(a, aaaa, https, unchecked or a, other)


TABLE = {
    "the box alone": (told(HERE), Symptom.LEADS_HERE),
    "the box, by both": (told(HERE, Reply(NOERROR, (BOX_6,))), Symptom.LEADS_HERE),
    "the box, by IPv6 alone": (told(EMPTY, Reply(NOERROR, (BOX_6,))), Symptom.LEADS_HERE),
    "the real registry": (told(Reply(NOERROR, (TRUTH,))), Symptom.PAST_BY_A),
    "the box among others": (told(Reply(NOERROR, (BOX, TRUTH))), Symptom.PAST_BY_A),
    "another by IPv6": (told(HERE, Reply(NOERROR, (TRUTH_6,))), Symptom.PAST_BY_AAAA),
    "only another by IPv6": (told(EMPTY, Reply(NOERROR, (TRUTH_6,))), Symptom.PAST_BY_AAAA),
    "an HTTPS record": (told(HERE, https=HINT), Symptom.PAST_BY_HTTPS),
    "an answer made empty": (told(EMPTY), Symptom.DROPPED),
    "an answer made empty, no Internet": (told(EMPTY, other=NOTHING), Symptom.DROPPED),
    "refused, though others are not": (told(REFUSED), Symptom.DROPPED),
    "failing, though others do not": (told(SERVFAIL), Symptom.DROPPED),
    "failing but for the check": (told(SERVFAIL, unchecked=HERE), Symptom.UNSIGNED),
    "failing at everything": (told(SERVFAIL, other=SERVFAIL), Symptom.FAILING),
    "blocked by a list": (told(NXDOMAIN), Symptom.NOWHERE),
    "silent": (told(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING), Symptom.SILENT),
    "silent for this name": (told(NOTHING), Symptom.SILENT),
}


@pytest.mark.parametrize(("answers", "symptom"), TABLE.values(), ids=TABLE)
def test_each_cause_has_its_own_symptom(answers: Told, symptom: Symptom) -> None:
    assert name_symptom(answers, OWN) is symptom


def test_a_public_address_is_no_reason_to_drop_an_answer() -> None:
    assert name_symptom(told(EMPTY), frozenset({"203.0.113.10"})) is Symptom.NOWHERE


REPLIES = st.builds(
    Reply,
    st.sampled_from([NOERROR, "NXDOMAIN", "SERVFAIL", "REFUSED", SILENT]),
    st.lists(st.sampled_from([BOX, BOX_6, TRUTH, TRUTH_6]), max_size=2).map(tuple),
)


@given(answers=st.builds(Told, REPLIES, REPLIES, REPLIES, REPLIES, REPLIES))
def test_a_server_is_well_only_if_nothing_of_its_answer_leads_past_the_box(answers: Told) -> None:
    records = {*answers.a.records, *answers.aaaa.records}
    is_well = name_symptom(answers, OWN) is Symptom.LEADS_HERE
    if is_well:
        assert records
        assert records <= OWN
    for place in Place:
        symptom = name_symptom(answers, OWN)
        assert bool(advise(symptom, place, "192.168.1.1", BOX, "registry.ollama.ai")) != is_well


@pytest.mark.parametrize(
    ("address", "search", "place"),
    [
        ("127.0.0.11", (), Place.DOCKER),
        ("127.0.0.53", ("lan",), Place.STUB),
        ("127.0.0.1", (), Place.LOCAL),
        ("::1", (), Place.LOCAL),
        ("fe80::1", (), Place.OVER_6),
        ("2001:db8::1", (), Place.OVER_6),
        ("192.168.1.1", (), Place.NETWORK),
        ("10.96.0.10", ("default.svc.cluster.local",), Place.CLUSTER),
    ],
)
def test_a_server_s_address_tells_what_it_is(
    address: str, search: tuple[str, ...], place: Place
) -> None:
    assert place_server(address, search) is place


@pytest.mark.parametrize(
    ("place", "typed"),
    [
        (Place.DOCKER, f"docker run --dns {BOX}"),
        (Place.CLUSTER, "dns snippets coredns"),
        (Place.STUB, "resolvectl"),
        (Place.LOCAL, "--hosts"),
        (Place.OVER_6, "RDNSS or DHCPv6"),
        (Place.NETWORK, "DHCP option 6"),
    ],
)
def test_what_to_type_depends_on_what_it_is(place: Place, typed: str) -> None:
    assert typed in advise(Symptom.PAST_BY_A, place, "192.168.1.1", BOX, "registry.ollama.ai")
