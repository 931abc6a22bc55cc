"""Questions and their answers, as one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.addresses import Addresses, is_public
from appliance.policy.answers import (
    Box,
    Empty,
    Forward,
    Minimal,
    Names,
    NoSuchName,
    Question,
    Refuse,
    Truth,
    Verdict,
    decide_answer,
)

REGISTRY = "registry.ollama.ai"
BLOBS = "ollama-blobs.home.arpa"
NAMES = Names(frozenset({REGISTRY}), BLOBS)

HOME = Addresses(("192.168.1.5",))
HOME_V6 = Addresses(("192.168.1.5",), ("2001:db8::5",))
ONLY_V6 = Addresses((), ("2001:db8::5",))
NOTHING = Addresses()
MIXED = Addresses(("192.168.1.9", "203.0.113.10"), ("fd00::9", "2001:db8::9"))
ORIGIN = Addresses(("104.21.75.227",), ("2606:4700::1",))
ORIGIN_V4 = Addresses(("104.21.75.227",))

BRIEFLY = Forward(is_brief=True)
OURS = Box(("192.168.1.5",))
TRULY = Truth(("104.21.75.227",))


def decide(
    question: Question,
    box: Addresses = HOME,
    blobs: Addresses = NOTHING,
    *,
    is_open: bool = False,
    truth: Addresses = ORIGIN,
) -> Verdict:
    return decide_answer(question, NAMES, box, blobs, is_open=is_open, truth=truth)


@pytest.mark.parametrize(
    ("name", "rtype", "verdict"),
    [
        (REGISTRY, "A", OURS),
        ("registry.ollama.ai.", "A", OURS),
        ("ReGiStRy.OLLAMA.ai", "A", OURS),
        (REGISTRY, "AAAA", Empty()),
        (REGISTRY, "HTTPS", Empty()),
        (REGISTRY, "SVCB", Empty()),
        (REGISTRY, "CNAME", Empty()),
        (REGISTRY, "TXT", Empty()),
        (REGISTRY, "NS", Empty()),
        (REGISTRY, "DS", Empty()),
        (REGISTRY, "TYPE65280", Empty()),
        (REGISTRY, "ANY", Minimal()),
        (REGISTRY, "AXFR", Refuse()),
        (REGISTRY, "IXFR", Refuse()),
        (BLOBS, "A", Empty()),
        (BLOBS, "AAAA", Empty()),
        (BLOBS, "ANY", Minimal()),
        ("resolver.arpa", "SVCB", Empty()),
        ("_dns.resolver.arpa", "SVCB", Empty()),
        ("_DNS.Resolver.Arpa.", "HTTPS", Empty()),
        ("use-application-dns.net", "A", NoSuchName()),
        ("use-application-dns.net", "AAAA", NoSuchName()),
        ("ollama.ai", "A", Forward()),
        ("ollama.com", "A", Forward()),
        ("evilregistry.ollama.ai", "A", Forward()),
        ("a.registry.ollama.ai", "A", Forward()),
        ("registry.ollama.ai.lan", "A", Forward()),
        (r"registry\046ollama.ai", "A", Forward()),
        ("notresolver.arpa", "SVCB", Forward()),
        ("a.use-application-dns.net", "A", Forward()),
        ("example.com", "ANY", Forward()),
        ("example.com", "AXFR", Refuse()),
        ("", "NS", Forward()),
    ],
)
def test_a_box_in_good_health_answers(name: str, rtype: str, verdict: Verdict) -> None:
    assert decide(Question(name, rtype)) == verdict


@pytest.mark.parametrize(
    ("name", "rtype", "truth", "verdict"),
    [
        (REGISTRY, "A", ORIGIN, TRULY),
        (REGISTRY, "AAAA", ORIGIN, Truth(("2606:4700::1",))),
        (REGISTRY, "A", NOTHING, BRIEFLY),
        (REGISTRY, "AAAA", ORIGIN_V4, BRIEFLY),
        (REGISTRY, "TXT", ORIGIN, BRIEFLY),
        (REGISTRY, "HTTPS", ORIGIN, Empty()),
        (REGISTRY, "SVCB", NOTHING, Empty()),
        (REGISTRY, "ANY", ORIGIN, Minimal()),
        (REGISTRY, "AXFR", ORIGIN, Refuse()),
        (BLOBS, "A", ORIGIN, Box(("203.0.113.10",))),  # For who is in the middle of a pull.
        (BLOBS, "AAAA", ORIGIN, Box(("2001:db8::9",))),
        ("example.com", "A", ORIGIN, Forward()),
        ("resolver.arpa", "SVCB", ORIGIN, Empty()),
    ],
)
def test_failed_open_the_registry_is_the_origin_again(
    name: str, rtype: str, truth: Addresses, verdict: Verdict
) -> None:
    assert decide(Question(name, rtype), blobs=MIXED, is_open=True, truth=truth) == verdict


@pytest.mark.parametrize(
    ("box", "rtype", "verdict"),
    [
        (HOME_V6, "A", OURS),
        (HOME_V6, "AAAA", Box(("2001:db8::5",))),
        (HOME_V6, "HTTPS", Empty()),
        (ONLY_V6, "A", Empty()),
        (ONLY_V6, "AAAA", Box(("2001:db8::5",))),
        (NOTHING, "A", TRULY),
        (NOTHING, "AAAA", Truth(("2606:4700::1",))),
    ],
)
def test_the_box_gives_what_addresses_it_has(box: Addresses, rtype: str, verdict: Verdict) -> None:
    assert decide(Question(REGISTRY, rtype), box) == verdict


@pytest.mark.parametrize(
    ("rtype", "verdict"),
    [("A", Box(("203.0.113.10",))), ("AAAA", Box(("2001:db8::9",))), ("HTTPS", Empty())],
)
def test_the_blob_host_has_public_looking_addresses_only(rtype: str, verdict: Verdict) -> None:
    assert decide(Question(BLOBS, rtype), blobs=MIXED) == verdict


@pytest.mark.parametrize("name", [REGISTRY, BLOBS, "version.bind", "example.com"])
@pytest.mark.parametrize("rclass", ["CLASS3", "CLASS255", "CLASS0"])
def test_other_classes_are_refused(name: str, rclass: str) -> None:
    assert decide(Question(name, "TXT", rclass)) == Refuse()


def test_names_must_be_normal_to_be_compared_with() -> None:
    with pytest.raises(AssertionError):
        Names(frozenset({"Registry.ollama.ai"}), BLOBS)


@given(
    name=st.sampled_from([REGISTRY, BLOBS, "example.com"]) | st.text(),
    rtype=st.sampled_from(["A", "AAAA", "HTTPS", "ANY", "TXT"]) | st.text(),
    is_open=st.booleans(),
)
def test_the_blob_host_never_gets_what_clients_refuse(name: str, rtype: str, is_open: bool) -> None:
    verdict = decide(Question(name, rtype), HOME_V6, MIXED, is_open=is_open)
    if isinstance(verdict, Box) and name == BLOBS:
        assert all(is_public(each) for each in verdict.addresses)
    if isinstance(verdict, Box | Truth):
        assert verdict.addresses
