"""How many questions a client may ask.

Theory of operation. Each client has a bucket of QUESTIONS_PER_MINUTE tokens that refills evenly;
a question takes one. So a burst of a minute's worth passes, and more only as fast as it refills.
A bucket that nobody touched for a minute is full again, so the longest untouched may be forgotten.
"""

QUESTIONS_PER_MINUTE = 1000  # A pull asks about 20; a busy desktop a few hundred at its start.
CLIENTS_MAX = 4096  # More than any LAN this is for; about 1 MB.


class Quota:
    """Every client's bucket."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, client: str, now: float) -> bool:
        """Take one question of `client` at the monotonic instant `now`; False when it has none."""
        tokens, touched_at = self._buckets.pop(client, (float(QUESTIONS_PER_MINUTE), now))
        refilled = tokens + (now - touched_at) * QUESTIONS_PER_MINUTE / 60
        tokens = min(refilled, float(QUESTIONS_PER_MINUTE))
        is_granted = tokens >= 1
        if len(self._buckets) >= CLIENTS_MAX:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[client] = (tokens - is_granted, now)
        return is_granted
