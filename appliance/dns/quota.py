"""How many questions a client may have forwarded.

Theory of operation. Each client has a bucket of a minute's worth of tokens that refills evenly; a
question takes one. So a burst of a minute's worth passes, and more only as fast as it refills. A
bucket that nobody touched for a minute is full again, so the longest untouched may be forgotten.
What is ours to answer takes nothing: it costs less than a refusal. A router that asks for everybody
behind it is one client with as many tokens as CROWD of them have.
"""

from collections.abc import Collection

CROWD = 16  # Devices behind one router whose busiest minutes fall together.
CLIENTS_MAX = 4096  # More than any LAN this is for; about 1 MB.


class Quota:
    """Every client's bucket, of `per_minute` tokens. `routers` may be changed at any time."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = float(per_minute)
        self._buckets: dict[str, tuple[float, float]] = {}
        self.routers: Collection[str] = frozenset()

    def take(self, client: str, now: float) -> bool:
        """Take one question of `client` at the monotonic instant `now`; False when it has none."""
        full = self._per_minute * (CROWD if client in self.routers else 1)
        tokens, touched_at = self._buckets.pop(client, (full, now))
        tokens = min(tokens + (now - touched_at) * full / 60, full)
        is_granted = tokens >= 1
        if len(self._buckets) >= CLIENTS_MAX:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[client] = (tokens - is_granted, now)
        return is_granted
