"""Classless static routes as DHCP carries them: options 121 and 249, byte for byte (RFC 3442).

A client that is given this option ignores the router option, so whoever writes one has to repeat
the default route in it.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

OPTION_SIZE_BYTES_MAX = 255  # One octet tells it; more would need RFC 3396, which few clients know.
_ROUTER_SIZE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Route:
    """Packets for `network` go by `router`."""

    network: IPv4Network
    router: IPv4Address

    @classmethod
    def parse(cls, network: str, router: str) -> "Route":
        """Raises ValueError: one is none."""
        return cls(IPv4Network(network), IPv4Address(router))


def encode_routes(routes: tuple[Route, ...]) -> bytes:
    """The option's value. Raises ValueError: it would be too long for one option."""
    value = b"".join(_encode(each) for each in routes)
    if len(value) > OPTION_SIZE_BYTES_MAX:
        raise ValueError(f"{len(value)} bytes of routes do not fit one option")
    return value


def decode_routes(value: bytes) -> tuple[Route, ...]:
    """Read the option's value as a client does. Raises ValueError: it is none."""
    routes, at = [], 0
    while at < len(value):
        width = value[at]
        stop = at + 1 + _significant(width)
        router = value[stop : stop + _ROUTER_SIZE_BYTES]
        if width > 32 or len(router) < _ROUTER_SIZE_BYTES:
            raise ValueError("no classless routes")
        number = value[at + 1 : stop].ljust(4, b"\0")
        routes.append(Route(IPv4Network((number, width)), IPv4Address(router)))
        at = stop + _ROUTER_SIZE_BYTES
    return tuple(routes)


def _encode(route: Route) -> bytes:
    width = route.network.prefixlen
    significant = route.network.network_address.packed[: _significant(width)]
    return bytes([width]) + significant + route.router.packed


def _significant(width: int) -> int:
    """How many octets of a network's number are written; RFC 3442, destination descriptors."""
    return (width + 7) // 8
