"""Whether a stored manifest may be used without asking the origin (RFC 9111 §4.2, for tags).

Blobs and manifests named by digest never change and are always fresh. A tag may move at any
moment; it is fresh for a short while after it was checked, so that a classroom asks once.
A stored answer fits only the request it was given to: the origin answers differently by Accept,
and refuses clients older than a model needs, so it serves the same Accept and clients at least as
new as the oldest one it is known good for.
"""

from enum import Enum

from appliance.protocol.clients import Client, Version


class Freshness(Enum):
    """What may be done with a stored manifest."""

    FRESH = "fresh"
    STALE = "stale"  # Ask first; use it only if the origin agrees or is away.
    UNFIT = "unfit"  # Not an answer to this request, fresh or not.


def judge_freshness(
    *, checked_at: float, now: float, fresh_seconds: float, is_immutable: bool
) -> Freshness:
    """Judge a stored manifest that fits. Instants in seconds since the epoch.

    A check that lies in the future (the clock was set back) is no check.
    """
    if is_immutable or 0 <= now - checked_at < fresh_seconds:
        return Freshness.FRESH
    return Freshness.STALE


def fits(client: Client, client_version_lowest: Version | None) -> bool:
    """Whether an answer that the origin gave to one client may be given to another.

    `client_version_lowest` is the oldest Ollama it was given to, None if to none. Only Ollama
    is gated by version, so anything else takes what any Ollama was given.
    """
    if not client.is_ollama:
        return True
    if client.version is None or client_version_lowest is None:
        return False
    return client.version >= client_version_lowest
