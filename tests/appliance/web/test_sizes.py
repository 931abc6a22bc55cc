"""Numbers as people say them."""

import pytest

from appliance.web.sizes import format_ago, format_left, format_percent, format_size


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (2_019_377_376, "2.0 GB"),
        (10**19, "10000.0 PB"),
    ],
)
def test_sizes_are_as_disks_are_sold(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (-1, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3700, "1 h 1 min")],
)
def test_times_left(seconds: int | None, text: str) -> None:
    assert format_left(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "never"),
        (-5, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (90_000, "1 day ago"),
    ],
)
def test_times_ago(seconds: float | None, text: str) -> None:
    assert format_ago(seconds) == text


def test_parts_of_a_whole() -> None:
    assert [format_percent(each) for each in (None, 0.934, 1.0)] == ["\u2013", "93 %", "100 %"]
