"""What the page shows live: true between two looks into the store, and said in words."""

import pytest

from appliance.cache.tally import Count
from appliance.policy.health import Check
from appliance.web.live import Live, describe_checks, show_session
from appliance.web.views import Views
from tests.appliance.web.conftest import Door

TOLD = {
    "id": 1,
    "source": "internet",
    "state": "active",
    "progress_percent": 41.6,
    "bytes_served": 1500,
    "speed_bps": 2_000_000,
    "eta_seconds": 65,
    "duration_seconds": 7.4,
}


async def test_bytes_move_between_two_looks_into_the_store(door: Door) -> None:
    live, tally = Live(door.facts, Views(door.facts)), door.shop.cache.books.tally
    tally.add(Count.SERVED_BYTES, 3000)
    tally.add(Count.FETCHED_BYTES, 1000)
    first = await live.describe()
    tally.add(Count.SERVED_BYTES, 1000)
    second = await live.describe()
    assert (first["ever"]["saved_bytes"], second["ever"]["saved_bytes"]) == (2000, 3000)
    assert (first["today"]["saved_bytes"], second["today"]["saved_bytes"]) == (2000, 3000)
    assert (second["shown"]["saved_ever"], second["shown"]["ratio_ever"]) == ("3.0 kB", "75 %")
    assert first["revision"] == second["revision"]


async def test_the_last_minutes_are_drawn_as_they_were(door: Door) -> None:
    cache, live = door.shop.cache, Live(door.facts, Views(door.facts))
    assert (await live.describe())["trace"] == {"served": "", "fetched": "", "top": "1.0 MB/s"}
    cache.speeds.look(1.0)
    cache.books.tally.add(Count.SERVED_BYTES, 6_000_000)
    cache.speeds.look(3.0)
    told = await live.describe()
    assert told["trace"] == {
        "served": "M300.0 96L300.0 0.0L300 96Z",
        "fetched": "",
        "top": "3.0 MB/s",
    }
    assert (told["shown"]["served_now"], told["shown"]["fetched_now"]) == ("3.0 MB/s", "0 bytes/s")


async def test_the_revision_is_that_of_what_is_held(door: Door) -> None:
    before = (await Live(door.facts, Views(door.facts)).describe())["revision"]
    door.shop.keep("tiny", b"layer")
    assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200
    assert (await Live(door.facts, Views(door.facts)).describe())["revision"] != before


@pytest.mark.parametrize(
    ("changed", "percent", "how"),
    [
        ({}, "42 %", "from the Internet · 2.0 MB/s · 1 min 5 s left"),
        ({"source": "waiting", "eta_seconds": None}, "42 %", "from another's download · 2.0 MB/s"),
        ({"source": "cache", "speed_bps": 0, "eta_seconds": None}, "42 %", "from the cache"),
        ({"state": "stalled"}, "42 %", "stalled"),
        ({"state": "done", "progress_percent": 100.0}, "done", "from the Internet · in 7 s"),
        ({"state": "left"}, "left", "from the Internet · in 7 s"),
    ],
)
def test_a_pull_in_words(changed: dict[str, object], percent: str, how: str) -> None:
    shown = show_session(TOLD | changed)["shown"]
    assert (shown["percent"], shown["bytes"], shown["how"]) == (percent, "1.5 kB", how)


def test_each_check_has_one_word() -> None:
    checks = {
        "dns": Check(is_ok=True, detail="answers"),
        "upstream": Check(is_ok=False, detail="no route"),
        "new": Check(is_ok=False, detail="?"),
    }
    told = describe_checks(checks)
    assert [(each["label"], each["word"]) for each in told] == [
        ("DNS", "ok"),
        ("Internet", "away"),
        ("new", "broken"),
    ]
