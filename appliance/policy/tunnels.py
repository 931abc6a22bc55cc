"""What the proxy port does with what it is asked for: so that it is no open proxy.

A CONNECT is for a name and port 443. The names that this box stands in for are opened; those of
`proxy.tunnel` are passed through untouched; all else is refused before anything is dialled.
An address is never tunnelled: no list could tell whose it is. Of requests in absolute form the
box's own blob URLs alone are taken, which a client with HTTP_PROXY set asks for here.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from appliance.policy.addresses import parse_address
from appliance.protocol.errors import Denied
from appliance.protocol.heads import Host, parse_host

PORT = 443
_WILDCARD = "*."
_HTTP_PORT = 80
_ABSOLUTE = re.compile(r"(?i:http)://([^/?#]+)(/[^#]*)")  # RFC 9112 §3.2.2


@dataclass(frozen=True, slots=True)
class Open:
    """Answer as `name`, with the box's own certificate."""

    name: str


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Carry bytes to and from `name`, unread."""

    name: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """Dial nothing. `reason` is a sentence for who asked, in ASCII and on one line."""

    reason: str


type Way = Open | Tunnel | Refuse


def choose_way(authority: Host, *, opened: Collection[str], tunnelled: Iterable[str]) -> Way:
    """Choose for a CONNECT to `authority`; `tunnelled` is `proxy.tunnel`."""
    name = authority.name
    if _is_address(name):
        return Refuse("this box tunnels to names only, not to addresses")
    if authority.port != PORT:
        return Refuse(f"this box tunnels to port {PORT} only")
    if name in opened:
        return Open(name)
    if any(is_covered(name, pattern) for pattern in tunnelled):
        return Tunnel(name)
    return Refuse(f"{name} is not in proxy.tunnel, the names that this box tunnels to")


def is_covered(name: str, pattern: str) -> bool:
    """Whether `pattern` is this name, or has `*` for its first label, as in certificates."""
    if not pattern.startswith(_WILDCARD):
        return name == pattern
    first, dot, rest = name.partition(".")
    return bool(first and dot) and rest == pattern.removeprefix(_WILDCARD)


def read_own_target(
    target: str, *, addresses: Collection[str], ports: Collection[int], path: str
) -> str:
    """The origin form of an absolute `target` that lies under `path` of this very box.

    Raises:
        RequestInvalid: its authority cannot be read.
        Denied: it is anybody else's, or nothing that is served here.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is not None and match[2].startswith(path):
        host = parse_host(match[1])
        if host.name in addresses and (host.port or _HTTP_PORT) in ports:
            return match[2]
    raise Denied("this port takes CONNECT, and GET and HEAD of this box's own blob URLs")


def _is_address(name: str) -> bool:
    try:
        parse_address(name)
    except ValueError:
        return False
    return True
