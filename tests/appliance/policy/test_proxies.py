"""Proxies as Go reads them from an environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.policy.proxies import (
    Proxies,
    find_host,
    is_excluded,
    leads_to_box,
    read_proxies,
)

NAME = "registry.ollama.ai"


def test_upper_case_goes_before_lower_and_all_proxy_is_not_read() -> None:
    assert read_proxies({"HTTPS_PROXY": "a", "https_proxy": "b", "no_proxy": "c"}) == Proxies(
        "", "a", "c"
    )
    assert read_proxies({"ALL_PROXY": "a", "all_proxy": "b"}) == Proxies("", "", "")


@pytest.mark.parametrize(
    ("excluded", "host", "expected"),
    [
        ("*", NAME, True),
        ("", NAME, False),
        ("localhost, Registry.Ollama.AI", NAME, True),
        ("ollama.ai", NAME, True),
        (".ollama.ai", NAME, True),
        ("*.ollama.ai", NAME, True),
        ("ollama.ai:443", NAME, True),
        ("lama.ai", NAME, False),
        ("registry.ollama.ai.example", NAME, False),
        ("192.168.0.0/16", "192.168.1.5", True),
        ("192.168.1.5", "192.168.1.5", True),
        ("10.0.0.0/8", "192.168.1.5", False),
        ("fd00::/8", "fd00::5", True),
        ("192.168.0.0/16", NAME, False),
    ],
)
def test_no_proxy_excludes_names_and_networks(excluded: str, host: str, expected: bool) -> None:
    assert is_excluded(excluded, host) is expected


@given(excluded=st.text(), host=st.sampled_from([NAME, "192.168.1.5", "fd00::5"]))
def test_whatever_is_written_there_is_a_yes_or_a_no(excluded: str, host: str) -> None:
    assert is_excluded(excluded, host) in (True, False)
    assert is_excluded(f"{excluded},{host}", host)


@pytest.mark.parametrize(
    ("proxy", "host", "is_box"),
    [
        ("http://192.168.1.5:3128", "192.168.1.5", True),
        ("192.168.1.5:3128", "192.168.1.5", True),
        ("http://user:word@[fd00::5]:3128/", "fd00::5", True),
        ("http://proxy.example:3128", "proxy.example", False),
        ("http://192.168.1.6:3128", "192.168.1.6", False),
        ("http://[", "", False),
        ("", "", False),
    ],
)
def test_a_proxy_is_the_box_where_it_has_its_address(proxy: str, host: str, is_box: bool) -> None:
    assert find_host(proxy) == host
    assert leads_to_box(proxy, frozenset({"192.168.1.5", "fd00::5"})) is is_box
