"""Habits: timers by pace, and what the newest clients call public."""

import pytest

from appliance.demo.habits import BEFORE_0_5_8, NEWEST, Habits, is_public


@pytest.mark.parametrize(
    "address",
    [
        *("203.0.113.10", "192.0.2.1", "198.51.100.7", "240.0.0.1", "192.0.0.9", "192.88.99.1"),
        *("2001:db8::1", "2a00:1450::1"),
    ],
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.10", "127.0.0.1", "100.64.0.1", "198.18.0.1"),
        *("169.254.0.1", "0.0.0.0", "fd00::1", "fe80::1", "::1", "::ffff:192.168.1.1"),
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


def test_pace_divides_every_timer() -> None:
    assert Habits(pace=10).paced(30) == 3
    assert Habits(pace=10).watched(30) == 3
    assert Habits(pace=1000).watched(30) == 1  # A busy machine is not silent.
    assert Habits(pace=1000).watched(0.5) == 0.5


def test_releases_differ() -> None:
    assert Habits().user_agent == "ollama/0.33.0 (amd64 linux) Go/go1.26.6"
    assert NEWEST.is_newest
    assert (BEFORE_0_5_8.stall_seconds, BEFORE_0_5_8.watches_first_byte) == (5, False)
