"""Response fields the box writes: `Cache-Status` (RFC 9211), `Via` (RFC 9110 §7.6.3), authorities.

`Via` is also how the box recognises its own request come back to it: each box signs its forwarded
requests with a pseudonym of its own, so that two boxes in a row are no loop.
"""

from enum import Enum

CACHE_NAME = "ollama-appliance"


class CacheStatus(Enum):
    """How an answer came about, in RFC 9211's words."""

    HIT = "hit"
    STALE_HIT = "hit; detail=stale-origin-unreachable"
    REVALIDATED = "fwd=stale; fwd-status=304"
    MISS = "fwd=uri-miss; stored"
    PARTIAL = "fwd=partial"
    COLLAPSED = "fwd=uri-miss; collapsed"
    UNCACHED = "fwd=uri-miss; detail=not-stored"
    BYPASS = "fwd=bypass"


def format_cache_status(status: CacheStatus) -> str:
    """The `Cache-Status` field of an answer that came about so."""
    return f"{CACHE_NAME}; {status.value}"


def format_via(pseudonym: str) -> str:
    """The hop that a box adds to what it forwards."""
    return f"1.1 {pseudonym}"


def is_via(field: str, pseudonym: str) -> bool:
    """Whether one of the hops that a `Via` field lists is `pseudonym`."""
    hops = (hop.split() for hop in field.split(","))
    return any(len(words) >= 2 and words[1] == pseudonym for words in hops)


def format_authority(address: str, port: int, *, default_port: int) -> str:
    """`host[:port]` for a URL: IPv6 addresses in brackets, the scheme's own port unsaid."""
    host = f"[{address}]" if ":" in address else address
    return host if port == default_port else f"{host}:{port}"
