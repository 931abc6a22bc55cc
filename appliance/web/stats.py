"""Statistics as JSON: sizes from the store, counts from the ledger, nothing made up."""

from typing import Any

from appliance.cache.accounts import Accounts
from appliance.cache.scrub import Progress
from appliance.cache.tally import Count
from appliance.policy.eviction import Budget
from appliance.store.models import ModelRow
from appliance.store.store import StoreStats
from appliance.web.models import format_instant

MB = 1_000_000  # What disks are sold by, and what ollama-lancache's `_mb` counts.


def describe_stats(
    stats: StoreStats,
    accounts: Accounts,
    models: list[ModelRow],
    progress: Progress,
    *,
    budget: Budget | None = None,
    directory: str,
    now: float,
) -> dict[str, Any]:
    """`/cache/stats`. Ratios are None where nothing was counted yet.

    `budget` is None where no box runs that would keep to it.
    """
    listed_bytes = sum(row.held_size_bytes for row in models)
    return {
        "blob_count": stats.blob_count,
        "manifest_count": stats.manifest_count,
        "total_blob_size_bytes": stats.blob_size_bytes,
        "total_blob_size_mb": round(stats.blob_size_bytes / MB, 1),
        "cache_directory": directory,
        "last_updated": format_instant(now),
        "pending_blob_count": stats.pending_count,
        "pending_held_bytes": stats.pending_held_bytes,
        "free_bytes": stats.free_bytes,
        "quota_bytes": budget and budget.max_size_bytes,
        "min_free_bytes": budget and budget.min_free_bytes,
        "quarantined_count": stats.quarantined_count,
        "scrub": describe_scrub(progress),
        "dedup_ratio": ratio(listed_bytes, stats.blob_size_bytes),
        "ever": describe_counts(accounts.ever),
        "by_day": {day: describe_counts(counts) for day, counts in accounts.by_day.items()},
        "by_hour": {hour: describe_counts(counts) for hour, counts in accounts.by_hour.items()},
        **describe_counts(accounts.ever),
    }


def describe_scrub(progress: Progress) -> dict[str, Any]:
    """How far everything held was read again; `asked` is None unless an operator wished for it."""
    asked = progress.asked
    return {
        "days": progress.days,
        "pass_began_at": format_instant(progress.began_at),
        "checked_at": format_instant(progress.checked_at),
        "left_bytes": progress.left_bytes,
        "unmended": [str(digest) for digest in progress.unmended],
        "asked": asked and {"read_bytes": asked.read_bytes, "total_bytes": asked.total_bytes},
    }


def describe_counts(counts: dict[str, int]) -> dict[str, Any]:
    """Counts under the names that scripts read, with what follows from them.

    What was fetched before anybody asked is no miss, and counts against what was saved all the
    same.
    """
    served = counts.get(Count.SERVED_BYTES, 0)
    fetched, unasked = (counts.get(each, 0) for each in (Count.FETCHED_BYTES, Count.UNASKED_BYTES))
    return {
        "hits": counts.get(Count.BLOB_HITS, 0),
        "misses": counts.get(Count.BLOB_MISSES, 0),
        "manifest_hits": counts.get(Count.MANIFEST_HITS, 0),
        "manifest_revalidations": counts.get(Count.MANIFEST_REVALIDATIONS, 0),
        "manifest_misses": counts.get(Count.MANIFEST_MISSES, 0),
        "manifest_stale": counts.get(Count.MANIFEST_STALE, 0),
        "served_bytes": served,
        "fetched_bytes": fetched,
        "unasked_bytes": unasked,
        "saved_bytes": max(0, served - fetched),
        "byte_hit_ratio": ratio(max(0, served - (fetched - unasked)), served),
        "fills": counts.get(Count.FILLS, 0),
        "mismatches": counts.get(Count.MISMATCHES, 0),
        "uncached": counts.get(Count.UNCACHED, 0),
        "deferred": counts.get(Count.DEFERRED, 0),
        "evictions": counts.get(Count.EVICTIONS, 0),
        "evicted_bytes": counts.get(Count.EVICTED_BYTES, 0),
        "scrubbed_bytes": counts.get(Count.SCRUBBED_BYTES, 0),
        "damaged": counts.get(Count.DAMAGED, 0),
        "mended": counts.get(Count.MENDED, 0),
        "mended_bytes": counts.get(Count.MENDED_BYTES, 0),
    }


def ratio(part: int, whole: int) -> float | None:
    """`part` of `whole`, rounded to four places; None where there is no whole."""
    return round(part / whole, 4) if whole else None
