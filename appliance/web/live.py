"""What of the page changes while somebody looks at it, as one document.

Sizes that need the store are read every few seconds, and what was counted since is added, so that
the numbers move with the bytes and the disk is left alone.
"""

import asyncio
import datetime
import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from appliance.cache.speeds import Speed
from appliance.cache.tally import Count
from appliance.policy.health import Check, judge_health
from appliance.web.facts import Facts
from appliance.web.graph import draw_speeds
from appliance.web.prefetches import show_prefetch
from appliance.web.sizes import format_left, format_percent, format_size
from appliance.web.stats import describe_counts
from appliance.web.views import Views

READ_SECONDS = 5.0  # Between two looks into the store: as often as counts are saved.
SOURCES = {
    "cache": "from the cache",
    "internet": "from the Internet",
    "waiting": "from another's download",
}

# What people call the checks, and what one is that fails, where "broken" would be too hard a word.
LABELS = {
    "dns": "DNS",
    "proxy": "https",
    "web": "http",
    "connect": "proxy",
    "pump": "blobs",
    "index": "index",
    "upstream": "Internet",
    "disk": "disk",
    "blobs": "blob host",
    "ca": "CA",
    "inline": "internals",
}
_FAILED_WORDS = {"upstream": "away", "disk": "full", "blobs": "missing", "ca": "expiring"}
_BYTES = (Count.SERVED_BYTES.value, Count.FETCHED_BYTES.value)


class Live:
    """The document, made anew at most as often as it is asked for; tells nothing of who asks."""

    def __init__(self, facts: Facts, views: Views) -> None:
        self._facts = facts
        self._views = views
        self._read_at = float("-inf")
        self._stats: dict[str, Any] = {}
        self._revision = 0
        self._model_count = 0
        self._counted: Mapping[str, int] = {}
        self._reading = asyncio.Lock()

    async def describe(self) -> dict[str, Any]:
        """How the box is, what it saved, who pulls; `revision` changes with what it holds."""
        await self._read_sometimes()
        checks = self._facts.checks()
        ever, today = self._moved(self._stats["ever"]), self._moved(self._today())
        sessions = self._views.describe_sessions()
        speeds = self._facts.cache.speeds.kept
        newest = speeds[-1] if speeds else Speed(0, 0)
        return {
            "status": judge_health(checks).value,
            "checks": describe_checks(checks),
            "ever": ever,
            "today": today,
            "shown": {
                "saved_today": format_size(today["saved_bytes"]),
                "saved_ever": format_size(ever["saved_bytes"]),
                "ratio_ever": format_percent(ever["byte_hit_ratio"]),
                "served_ever": format_size(ever["served_bytes"]),
                "fetched_ever": format_size(ever["fetched_bytes"]),
                "served_now": f"{format_size(newest.served)}/s",
                "fetched_now": f"{format_size(newest.fetched)}/s",
                "models": str(self._model_count),
                "held": format_size(self._stats["total_blob_size_bytes"]),
                "free": format_size(self._stats["free_bytes"]),
            },
            "paused": self._facts.cache.background.is_paused,
            "prefetches": self.show_prefetches(),
            "trace": asdict(draw_speeds(speeds)),
            "sessions": [show_session(each) for each in sessions["active_sessions"]],
            "recent": [show_session(each) for each in reversed(sessions["recent_sessions"])],
            "revision": self._revision,
        }

    def show_prefetches(self) -> list[dict[str, Any]]:
        """What is fetched ahead of time, in the page's words."""
        is_paused = self._facts.cache.background.is_paused
        return [show_prefetch(each, is_paused=is_paused) for each in self._facts.prefetches()]

    async def _read_sometimes(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < READ_SECONDS and self._stats:
                return
            self._stats, self._revision = await asyncio.to_thread(self._read)
            self._read_at = time.monotonic()

    def _read(self) -> tuple[dict[str, Any], int]:
        books = self._facts.cache.books
        stats = self._views.describe_stats()
        self._counted = dict(books.tally.since_start)
        rows = [
            (str(row.reference), str(row.digest), row.held_size_bytes, row.pulls, row.is_pinned)
            for row in books.models()
        ]
        self._model_count = len(rows)
        return stats, zlib.crc32(json.dumps(rows).encode())

    def _today(self) -> Mapping[str, Any]:
        today = datetime.datetime.fromtimestamp(self._facts.now(), datetime.UTC).date()
        by_day: Mapping[str, Mapping[str, Any]] = self._stats["by_day"]
        return by_day.get(today.isoformat(), describe_counts({}))

    def _moved(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Bytes told by the ledger, and those counted since it was read."""
        since = self._facts.cache.books.tally.since_start
        moved = {
            name: int(told[name]) + since.get(name, 0) - self._counted.get(name, 0)
            for name in _BYTES
        }
        counts = describe_counts(moved)
        return {
            name: counts[name]
            for name in ("served_bytes", "fetched_bytes", "saved_bytes", "byte_hit_ratio")
        }


def describe_checks(checks: Mapping[str, Check]) -> list[dict[str, Any]]:
    """Each check with a label and one word, in their order."""
    return [
        {
            "name": name,
            "label": LABELS.get(name, name),
            "ok": check.is_ok,
            "word": "ok" if check.is_ok else _FAILED_WORDS.get(name, "broken"),
            "detail": check.detail,
        }
        for name, check in checks.items()
    ]


def show_session(told: Mapping[str, Any]) -> dict[str, Any]:
    """A session as `/api/sessions` tells it, with how the page says it."""
    percent, is_over = told["progress_percent"], told["state"] in ("done", "left")
    parts = [SOURCES[told["source"]]]
    if told["state"] == "stalled":
        parts = ["stalled"]
    elif is_over:
        if seconds := round(told["duration_seconds"]):
            parts.append(f"in {format_left(seconds)}")
    else:
        if told["speed_bps"]:
            parts.append(f"{format_size(told['speed_bps'])}/s")
        if told["eta_seconds"] is not None:
            parts.append(f"{format_left(told['eta_seconds'])} left")
    shown = {
        "percent": f"{percent:.0f} %" if told["state"] != "done" else "done",
        "bytes": format_size(told["bytes_served"]),
        "how": " · ".join(parts),
    }
    if told["state"] == "left":
        shown["percent"] = "left"
    return {**told, "shown": shown}
