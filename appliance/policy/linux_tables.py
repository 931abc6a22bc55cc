"""Two tables that Linux shows under /proc/net: IPv6 addresses with their flags, IPv4 routes."""

from collections.abc import Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

# Of <linux/if_addr.h>, as the fifth column of if_inet6 shows them.
_TEMPORARY, _DUPLICATE, _DEPRECATED, _TENTATIVE = 0x01, 0x08, 0x20, 0x40
_BY_ROUTER = 0x1 | 0x2  # Up, and by a gateway; of <linux/route.h>.


class Standing(Enum):
    """How far an IPv6 address can be relied on."""

    LASTING = "lasting"
    FLEETING = "fleeting"  # Temporary or deprecated: good now, and gone before long.
    UNUSABLE = "unusable"  # Still being probed for, or somebody else's.


def parse_standings(text: str) -> Mapping[tuple[str, str], Standing]:
    """Read if_inet6: (interface name, address) to how it stands; unreadable lines are left out."""
    found: dict[tuple[str, str], Standing] = {}
    for line in text.splitlines():
        columns = line.split()
        try:
            address, flags = IPv6Address(bytes.fromhex(columns[0])), int(columns[4], 16)
            found[columns[5], str(address)] = _judge(flags)
        except (ValueError, IndexError):
            continue
    return found


def _judge(flags: int) -> Standing:
    if flags & (_TENTATIVE | _DUPLICATE):
        return Standing.UNUSABLE
    return Standing.FLEETING if flags & (_TEMPORARY | _DEPRECATED) else Standing.LASTING


def parse_gateways(text: str) -> Mapping[str, str]:
    """Read route: interface name to the router of its best default route."""
    best: dict[str, tuple[int, str]] = {}
    for line in text.splitlines():
        columns = line.split()
        try:
            name, network, router, flags, metric, mask = (*columns[:4], columns[6], columns[7])
            found = (int(metric), str(IPv4Address(bytes.fromhex(router)[::-1])))
            is_default = not int(network, 16) and not int(mask, 16)
            is_routed = int(flags, 16) & _BY_ROUTER == _BY_ROUTER
        except (ValueError, IndexError):
            continue
        if is_default and is_routed:
            best[name] = min(found, best.get(name, found))
    return {name: address for name, (_, address) in best.items()}
