"""What it costs to end a request before its last byte, and how much of that a fill may spend.

Theory of operation. Whoever closes a connection has paid for what was on its way: what lies in the
sockets at both ends, and what the line holds. Nobody can tell how much that was, so it is guessed,
rather too high; and it is fetched again. A fill may spend a share of its blob's size so. When that
is used up, who comes new waits until a run ends by itself: those of small blobs are short.
"""

from math import inf

SPARE_SHARE = 0.0075  # With what a guess is wrong by, a blob still costs less than 1.01 of itself.
BUFFERED_BYTES_MAX = 256 * 1024  # In sockets, where the box keeps up with the line;
BUFFERED_SECONDS_MAX = 0.5  # on a slow line no more than it brings in this time.


def choose_spare_bytes(size_bytes: int) -> int:
    """How many bytes the fill of a blob may fetch in vain, all in all."""
    return int(size_bytes * SPARE_SHARE)


def price_cut(rest_bytes: int, rate: float | None, round_trip_seconds: float) -> int:
    """How many of the last `rest_bytes` of a run will come in vain if it ends before them.

    `rate` is the run's own, in bytes a second; None where it is not known yet.
    """
    if rate is None:
        return min(rest_bytes, BUFFERED_BYTES_MAX)
    buffered = min(BUFFERED_BYTES_MAX, rate * BUFFERED_SECONDS_MAX)
    return min(rest_bytes, int(buffered + rate * round_trip_seconds))


class Purse:
    """What may still be spent, and what one plan spends of it."""

    def __init__(self, spare_bytes: float = inf, round_trip_seconds: float = 0.0) -> None:
        self._spare_bytes = spare_bytes
        self._round_trip_seconds = round_trip_seconds
        self.spent_bytes = 0

    def affords(self, rest_bytes: int, rate: float | None) -> bool:
        """Whether a run may be ended `rest_bytes` before its stop."""
        price = price_cut(rest_bytes, rate, self._round_trip_seconds)
        return self.spent_bytes + price <= self._spare_bytes

    def pay(self, rest_bytes: int, rate: float | None) -> None:
        """Count a run ended so, whether that was affordable or had to be."""
        self.spent_bytes += price_cut(rest_bytes, rate, self._round_trip_seconds)
