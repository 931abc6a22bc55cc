"""Requests that change something: only from pages of the box's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.sameorigin import is_own_host, is_same_origin


@pytest.mark.parametrize("host", ["10.0.0.5", "[fd00::5]", "localhost", "box.lan", "BOX.lan."])
def test_these_are_surely_ours(host: str) -> None:
    assert is_own_host(host, {"box.lan"})


@pytest.mark.parametrize("host", ["", "evil.example", "box.lan.evil.example", "10.0.0.5.nip.io"])
def test_a_name_that_anybody_may_point_here_is_not(host: str) -> None:
    assert not is_own_host(host, {"box.lan"})


@pytest.mark.parametrize(
    ("origin", "is_same"),
    [
        ("http://10.0.0.5:8080", True),
        ("HTTP://10.0.0.5:8080", True),
        ("http://10.0.0.5", False),
        ("https://10.0.0.5:8080", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_the_origin_must_be_the_host_s(origin: str | None, *, is_same: bool) -> None:
    assert is_same_origin(origin, "10.0.0.5:8080") is is_same


@given(st.text(), st.text(), st.text())
def test_no_text_is_an_error(host: str, origin: str, authority: str) -> None:
    assert is_own_host(host, ()) in (True, False)
    assert is_same_origin(origin, authority) in (True, False)
