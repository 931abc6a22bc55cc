"""Statistics as JSON."""

from dataclasses import replace

from appliance.cache.accounts import Accounts
from appliance.cache.scrub import Progress, Scrubbing
from appliance.cache.tally import Count
from appliance.policy.eviction import Budget
from appliance.protocol.digest import digest_of
from appliance.store.store import StoreStats
from appliance.web.stats import describe_counts, describe_scrub, describe_stats, ratio
from tests.appliance.web.test_models import ROW

STATS = StoreStats(
    blob_count=2,
    blob_size_bytes=30_000_000,
    manifest_count=1,
    pending_count=1,
    pending_held_bytes=5,
    reserved_bytes=3,
    free_bytes=7,
    quarantined_count=0,
)
IDLE = Progress(30, began_at=0.0, checked_at=60.0, left_bytes=9, unmended=(), asked=None)
BUDGET = Budget(min_free_bytes=4, max_size_bytes=1000)
KNOWN = {
    *("blob_count", "manifest_count", "total_blob_size_bytes", "total_blob_size_mb"),
    *("cache_directory", "last_updated"),
}
OURS = {
    *("hits", "misses", "byte_hit_ratio", "served_bytes", "fetched_bytes", "saved_bytes"),
    "unasked_bytes",
    *("free_bytes", "dedup_ratio", "by_day", "quota_bytes", "evictions", "pending_blob_count"),
}


def test_the_keys_that_scripts_know_are_all_there() -> None:
    empty = Accounts({}, {}, {}, {})
    told = describe_stats(STATS, empty, [], IDLE, budget=BUDGET, directory="state", now=0.0)
    assert set(told) >= KNOWN | OURS
    assert (told["blob_count"], told["total_blob_size_mb"]) == (2, 30.0)
    assert (told["quota_bytes"], told["min_free_bytes"]) == (1000, 4)
    assert (told["cache_directory"], told["last_updated"]) == ("state", "1970-01-01T00:00:00Z")


def test_nothing_counted_is_no_ratio() -> None:
    told = describe_counts({})
    assert (told["hits"], told["saved_bytes"], told["byte_hit_ratio"]) == (0, 0, None)


def test_what_was_served_beyond_what_was_fetched_is_saved() -> None:
    told = describe_counts({Count.SERVED_BYTES: 300, Count.FETCHED_BYTES: 100})
    assert (told["saved_bytes"], told["byte_hit_ratio"]) == (200, 0.6667)


def test_what_was_fetched_for_nobody_is_never_a_negative_saving() -> None:
    told = describe_counts({Count.SERVED_BYTES: 100, Count.FETCHED_BYTES: 300})
    assert (told["saved_bytes"], told["byte_hit_ratio"]) == (0, 0.0)


def test_what_was_fetched_ahead_is_no_miss_and_no_saving() -> None:
    told = describe_counts(
        {Count.SERVED_BYTES: 300, Count.FETCHED_BYTES: 100, Count.UNASKED_BYTES: 80}
    )
    assert (told["byte_hit_ratio"], told["saved_bytes"]) == (0.9333, 200)


def test_days_are_told_apart() -> None:
    hours = {"2026-11-20T13": {Count.BLOB_HITS.value: 1}}
    days = {"2026-11-20": {Count.BLOB_HITS.value: 1}}
    accounts = Accounts({}, {Count.BLOB_HITS: 3}, days, hours)
    told = describe_stats(STATS, accounts, [ROW], IDLE, budget=BUDGET, directory="state", now=0.0)
    assert told["hits"] == told["ever"]["hits"] == 3
    assert told["by_day"]["2026-11-20"]["hits"] == 1
    assert told["by_hour"]["2026-11-20T13"]["hits"] == 1


def test_the_scrub_is_shown() -> None:
    told = describe_stats(
        STATS, Accounts({}, {}, {}, {}), [], IDLE, budget=BUDGET, directory="state", now=0.0
    )
    assert told["scrub"] == {
        "days": 30,
        "pass_began_at": "1970-01-01T00:00:00Z",
        "checked_at": "1970-01-01T00:01:00Z",
        "left_bytes": 9,
        "unmended": [],
        "asked": None,
    }
    asked = Scrubbing(2, total_bytes=8, read_bytes=5)
    digest = digest_of(b"bad")
    told = describe_scrub(replace(IDLE, unmended=(digest,), asked=asked))
    assert told["unmended"] == [str(digest)]
    assert told["asked"] == {"read_bytes": 5, "total_bytes": 8}


def test_a_ratio_has_four_places() -> None:
    assert ratio(1, 3) == 0.3333
    assert ratio(1, 0) is None


def test_what_was_let_go_of_is_told() -> None:
    told = describe_counts({Count.EVICTIONS: 2, Count.EVICTED_BYTES: 900})
    assert (told["evictions"], told["evicted_bytes"]) == (2, 900)
