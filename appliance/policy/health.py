"""What the checks that were really run say of the box: one word, and a word for each part."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """One word for the whole box."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # Clients are served; something that keeps it so is broken.
    UNHEALTHY = "unhealthy"  # Clients would fail here: DNS sends them to the origin.


# Without these no pull gets through the box. Without the others what is held still does.
ESSENTIAL = frozenset({"dns", "proxy", "web", "index", "pump", "clock"})


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the box, found working or not. `detail` is a sentence for a person."""

    is_ok: bool
    detail: str


def judge_health(checks: Mapping[str, Check]) -> Status:
    """Judge the box by its checks, by name; without any it is not known to work."""
    failed = {name for name, check in checks.items() if not check.is_ok}
    if not checks or failed & ESSENTIAL:
        return Status.UNHEALTHY
    return Status.DEGRADED if failed else Status.HEALTHY
