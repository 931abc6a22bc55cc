"""Fields that the box writes: RFC 9211's grammar, and Via as the mark of a loop."""

import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.fields import (
    CacheStatus,
    format_authority,
    format_cache_status,
    format_via,
    is_via,
)

# RFC 9211 §2: sf-item with parameters; bare keys are true, values here are tokens or integers.
_PARAMETER = r"(hit|stored|collapsed|fwd=[a-z-]+|fwd-status=[0-9]{3}|detail=[a-z-]+)"
FORWARDED = {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}

PSEUDONYM = "box-3f9a"

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


@pytest.mark.parametrize("status", CacheStatus)
def test_a_cache_status_is_as_the_rfc_has_it(status: CacheStatus) -> None:
    field = format_cache_status(status)
    assert re.fullmatch(rf"ollama-appliance(; {_PARAMETER})+", field)
    assert ("fwd=" in field) != bool(re.search(r"; hit\b", field))
    assert set(re.findall(r"fwd=([a-z-]+)", field)) <= FORWARDED


@pytest.mark.parametrize(
    "field",
    [
        format_via(PSEUDONYM),
        f"1.1 first, 1.1 {PSEUDONYM}",
        f"1.1 {PSEUDONYM}, 2 last",
        f"HTTP/1.1 {PSEUDONYM} (a comment)",
        f" 1.1\t{PSEUDONYM} ,",
    ],
)
def test_our_own_hop_is_found(field: str) -> None:
    assert is_via(field, PSEUDONYM)


@pytest.mark.parametrize(
    "field",
    ["", ",", "1.1", PSEUDONYM, f"1.1 other ({PSEUDONYM})", f"1.1 {PSEUDONYM}a", "1.1 box"],
)
def test_another_box_is_no_loop(field: str) -> None:
    assert not is_via(field, PSEUDONYM)


@given(st.lists(names), names, st.lists(names))
def test_a_hop_is_found_wherever_it_stands(before: list[str], own: str, after: list[str]) -> None:
    hops = [*before, own, *after]
    assert is_via(", ".join(map(format_via, hops)), own)
    assert not is_via(", ".join(map(format_via, hops)), f"{own}+")


@given(st.text(), names)
def test_any_field_is_a_loop_or_none(field: str, own: str) -> None:
    assert is_via(f"{field}, {format_via(own)}", own)
    assert not is_via(field, f"{own} ")


@given(
    st.ip_addresses().map(str) | names.map("{}.example".format),
    st.integers(1, 65535),
    st.sampled_from([80, 443]),
)
def test_an_authority_reads_back(address: str, port: int, default_port: int) -> None:
    authority = format_authority(address, port, default_port=default_port)
    url = urlsplit(f"http://{authority}/")
    assert (url.hostname, url.port or default_port) == (address, port)
    assert (url.port is None) == (port == default_port)


def test_authorities_as_people_know_them() -> None:
    assert format_authority("192.0.2.1", 80, default_port=80) == "192.0.2.1"
    assert format_authority("192.0.2.1", 8080, default_port=80) == "192.0.2.1:8080"
    assert format_authority("2001:db8::1", 80, default_port=80) == "[2001:db8::1]"
    assert format_authority("2001:db8::1", 8080, default_port=80) == "[2001:db8::1]:8080"
