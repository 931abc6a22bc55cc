"""How fast to read again what is held, to find what a disk has spoiled before a client does.

A pass is to take so many days. What is left of it, over the time left for it, is the pace: a store
that grows, a box that was off for a week and a night of pulls all set it right again. A pass that
is late goes as fast as the disk's real work allows, and no faster.
"""

from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span

DAY_SECONDS = 86_400.0
BYTES_PER_SECOND_MAX = 32 * 1024 * 1024  # A fifth of what one hard disk reads.


def choose_pause(
    next_bytes: int, *, left_bytes: int, began_at: float, now: float, days: float
) -> float:
    """Seconds that the next `next_bytes` may take of a pass, of which `left_bytes` are unread.

    A clock that was set back, to before the pass began, makes no pass longer than its days.
    """
    left_seconds = min(began_at + days * DAY_SECONDS - now, days * DAY_SECONDS)
    share = next_bytes / max(left_bytes, next_bytes, 1)
    return max(next_bytes / BYTES_PER_SECOND_MAX, left_seconds * share)


def find_good(size_bytes: int, bad: SpanSet) -> SpanSet:
    """What of a blob of so many bytes is not in `bad`."""
    return SpanSet(bad.missing(Span(0, size_bytes)) if size_bytes else ())
