"""How long to wait before asking again, and when to stop asking."""

ATTEMPTS_MAX = 6  # As many as Ollama itself makes for a part.
DELAY_SECONDS_MIN = 0.25  # A connection that was reset is often good again at once.
DELAY_SECONDS_MAX = 30.0  # Beyond it a waiting client has long restarted its part.

# After bytes that were not their digest's: long enough that a broken origin is not hammered by
# retrying clients, short enough that a repaired one is noticed within a client's own retries.
MISMATCH_SECONDS_MIN = 30.0
MISMATCH_SECONDS_MAX = 3600.0  # A blob of 40 GB, wrong every time, is a line that is always full.


def choose_mismatch_pause(count: int) -> float:
    """Seconds to leave a blob alone after its bytes were wrong for the `count`-th time in a row."""
    return min(MISMATCH_SECONDS_MIN * 2.0 ** min(count - 1, 10), MISMATCH_SECONDS_MAX)


def choose_delay(
    attempt: int, *, jitter: float, retry_after_seconds: float | None = None
) -> float | None:
    """Seconds to wait before attempt number `attempt` (1 is the first retry), or None to give up.

    `jitter` in [0, 1) spreads clients of one origin apart. An origin that names its own time is
    obeyed up to DELAY_SECONDS_MAX.
    """
    if attempt >= ATTEMPTS_MAX:
        return None
    delay = DELAY_SECONDS_MIN * 2.0 ** (attempt - 1) * (1 + jitter)
    if retry_after_seconds is not None:
        delay = max(delay, retry_after_seconds)
    return min(delay, DELAY_SECONDS_MAX)
