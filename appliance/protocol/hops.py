"""Which fields of a message go on to its next hop (RFC 9110 §7.6.1).

`Connection`, what it nominates, and what is known to concern one connection only stay behind.
`Transfer-Encoding` is kept: bodies are forwarded in the framing that they came in. A nomination
never takes away what frames or addresses a message; that would let a client change how the next
server reads it.
"""

from collections.abc import Iterator, Sequence

type Fields = Sequence[tuple[bytes, bytes]]

_OF_ONE_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",  # Trailers end here: neither HTTP/1.0 clients nor mitmproxy take them.
        b"upgrade",
    }
)
_NEVER_NOMINATED = frozenset({b"content-length", b"host", b"transfer-encoding"})
# Claims about who asks, made for proxies that would believe them: none is ours to pass on.
_CLAIMS = (b"forwarded", b"x-forwarded-")


def forward_request(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of a request that its next hop is to see: no claims about who asks, either."""
    return tuple(pair for pair in _forwarded(fields) if not _is_claim(pair[0].lower()))


def forward_response(fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
    """The fields of a response that its next hop is to see."""
    return tuple(_forwarded(fields))


def _forwarded(fields: Fields) -> Iterator[tuple[bytes, bytes]]:
    values = [value for name, value in fields if name.lower() == b"connection"]
    nominated = {each.strip().lower() for value in values for each in value.split(b",")}
    left_behind = _OF_ONE_CONNECTION | (nominated - _NEVER_NOMINATED)
    return (pair for pair in fields if pair[0].lower() not in left_behind)


def _is_claim(name: bytes) -> bool:
    exact, prefix = _CLAIMS
    return name == exact or name.startswith(prefix)
