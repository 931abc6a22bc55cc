"""How fast the line gives, as far as a fill can tell from what has landed.

Theory of operation. Bytes are counted over short windows. A faster window is believed at once; a
slower one pulls the rate down by at most half a second's worth of halving, because a pause between
two requests looks just like a slow line and the plan would answer it with runs that are too short,
which pause more often still.
"""

WINDOW_SECONDS = 0.25  # A few round trips: shorter, and the rate would be that of one burst.
HALVING_SECONDS = 1.0  # How long a rate may stand half too high after the line got slow.


class LineRate:
    """The rate of one fill over all of its connections."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._since: float | None = None
        self._landed_bytes = 0

    def add(self, size_bytes: int, now: float) -> None:
        """Count bytes that landed. The first ones start the clock."""
        if self._since is None:
            self._since = now
        self._landed_bytes += size_bytes

    def bytes_per_second(self, now: float) -> float | None:
        """Return the rate by now, or None before the first window is over."""
        if self._since is not None and now - self._since >= WINDOW_SECONDS:
            self._close_window(now - self._since)
            self._since, self._landed_bytes = now, 0
        return self._rate

    def _close_window(self, seconds: float) -> None:
        seen = self._landed_bytes / seconds
        fallen = 0.0 if self._rate is None else self._rate * 0.5 ** (seconds / HALVING_SECONDS)
        self._rate = max(seen, fallen)
