"""How long to wait before asking again, and when to stop asking."""

ATTEMPTS_MAX = 6  # As many as Ollama itself makes for a part.
DELAY_SECONDS_MIN = 0.25  # A connection that was reset is often good again at once.
DELAY_SECONDS_MAX = 30.0  # Beyond it a waiting client has long restarted its part.


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
