"""What is fetched ahead of time, in words."""

import pytest

from appliance.web.prefetches import FAILED, FETCHING, Prefetch, describe_prefetch, show_prefetch


@pytest.mark.parametrize(
    ("prefetch", "is_paused", "how", "percent"),
    [
        (Prefetch("tiny"), False, "waiting", 0.0),
        (Prefetch("tiny"), True, "paused", 0.0),
        (Prefetch("tiny", FETCHING, 500, 2000), False, "fetching · 500 bytes of 2.0 kB", 25.0),
        (Prefetch("tiny", FETCHING, 500, 2000), True, "paused · 500 bytes of 2.0 kB", 25.0),
        (Prefetch("tiny", FAILED, 0, 0, "away"), False, "away; it is tried again", 0.0),
    ],
)
def test_a_prefetch_in_words(prefetch: Prefetch, is_paused: bool, how: str, percent: float) -> None:
    shown = show_prefetch(prefetch, is_paused=is_paused)
    assert (shown["how"], shown["percent"]) == (how, percent)
    assert describe_prefetch(prefetch).items() <= shown.items()
