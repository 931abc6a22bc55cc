"""URLs: byte for byte, whatever somebody sends."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.urls import Url, WireError, parse_url

ODD = "https://cdn.test:8443/a%2Fb//c?x=%7e+%20~&y#z"


def test_a_url_keeps_its_target() -> None:
    url = parse_url(ODD)
    assert url == Url("https", "cdn.test:8443", "/a%2Fb//c?x=%7e+%20~&y")
    assert (url.hostname, url.port) == ("cdn.test", 8443)
    assert f"{url}#z" == ODD
    assert parse_url("http://host").target == "/"


@pytest.mark.parametrize(
    ("location", "joined"),
    [
        (ODD, ODD.removesuffix("#z")),
        ("/x?y=%2F", "https://registry.test/x?y=%2F"),
        ("z", "https://registry.test/a/z"),
    ],
)
def test_a_location_may_be_relative(location: str, joined: str) -> None:
    assert str(parse_url("https://registry.test/a/b").join(location)) == joined


@pytest.mark.parametrize("text", ["ftp://x/", "nothing", "", "http://", "http://x:99999/"])
def test_what_is_no_url(text: str) -> None:
    with pytest.raises(WireError):
        parse_url(text)


@given(text=st.text() | st.text().map(lambda rest: f"https://{rest}"))
def test_any_text_is_a_url_or_an_error(text: str) -> None:
    with contextlib.suppress(WireError):
        assert parse_url(text).scheme in ("http", "https")
