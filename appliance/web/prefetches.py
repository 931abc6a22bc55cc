"""What is fetched ahead of time, as the page and scripts are told of it."""

from dataclasses import dataclass
from typing import Any

from appliance.web.sizes import format_size

WAITING, FETCHING, FAILED = "waiting", "fetching", "failed"


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A model that an operator wants here. `trouble` is why the last try came to nothing."""

    model: str
    state: str = WAITING
    held_bytes: int = 0
    total_bytes: int = 0  # 0: not known yet.
    trouble: str = ""


def describe_prefetch(prefetch: Prefetch) -> dict[str, Any]:
    """One of them as JSON."""
    return {
        "model": prefetch.model,
        "state": prefetch.state,
        "held_bytes": prefetch.held_bytes,
        "total_bytes": prefetch.total_bytes,
        "trouble": prefetch.trouble,
    }


def show_prefetch(prefetch: Prefetch, *, is_paused: bool) -> dict[str, Any]:
    """The same with how the page says it."""
    how, total = prefetch.state, prefetch.total_bytes
    if prefetch.state == FAILED:
        how = f"{prefetch.trouble}; it is tried again"
    elif is_paused:
        how = "paused"
    if total and prefetch.state != FAILED:
        how = f"{how} · {format_size(prefetch.held_bytes)} of {format_size(total)}"
    percent = 100 * prefetch.held_bytes / total if total else 0.0
    return {**describe_prefetch(prefetch), "how": how, "percent": round(percent, 1)}
