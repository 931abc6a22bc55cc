"""What every door was asked, what it answered, and how long the answer took: for whoever measures.

Unlike the tally these are kept in memory only: they tell how the box does, not what it is worth.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from appliance.policy.delivery import Door
from appliance.registry.requests import Answer, BlobAnswer, Reply, Request

# Upper ends, in seconds: a hit takes a millisecond, the origin some tenths, and past ten it hangs.
SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

PASSED = "passed"  # In place of a status: the origin's answer, whatever that was.


@dataclass
class Histogram:
    """How many observations fell under each end of SECONDS_BUCKETS, the last being without end."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS_BUCKETS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(SECONDS_BUCKETS, seconds)] += 1
        self.sum_seconds += seconds

    def cumulated(self) -> list[tuple[str, int]]:
        """Each bucket's upper end, as text, with how many were at or under it."""
        found, so_far = [], 0
        for end, count in zip((*map(str, SECONDS_BUCKETS), "+Inf"), self.counts, strict=True):
            so_far += count
            found.append((end, so_far))
        return found


@dataclass
class Meters:
    """Requests by (door, what was asked for, status), and the seconds until their answers began."""

    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    seconds: dict[str, Histogram] = field(
        default_factory=lambda: {door.value: Histogram() for door in Door}
    )

    def answered(self, door: Door) -> int:
        """How many requests came by `door` and were answered."""
        return sum(self.seconds[door.value].counts)

    def note(self, request: Request, reply: Reply, seconds: float) -> None:
        """Count a request that was answered after `seconds`."""
        door = request.door.value
        self.requests[door, _kind(request.target), _status(reply)] += 1
        self.seconds[door].observe(seconds)


def _kind(target: str) -> str:
    """A word for what is asked for; few of them, whatever clients invent."""
    path = target.partition("?")[0]
    for kind in ("manifests", "chunksums"):
        if f"/{kind}/" in path:
            return kind
    return "blobs" if "/blobs/" in path else "other"


def _status(reply: Reply) -> str:
    return str(reply.status) if isinstance(reply, Answer | BlobAnswer) else PASSED
