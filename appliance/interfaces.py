"""The box's own addresses, by network interface, as the system has them now."""

from collections.abc import Mapping
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

import ifaddr

from appliance.policy.addresses import Interface
from appliance.policy.linux_tables import Standing, parse_gateways, parse_standings

# Not /proc/net, which is hidden from a service that is shown processes only.
_ADDRESSES = Path("/proc/thread-self/net/if_inet6")
_ROUTES = Path("/proc/thread-self/net/route")


def read_interfaces() -> tuple[Interface, ...]:
    """List every interface that has an address, loopback included, in the system's order.

    Link-local IPv6 addresses carry their scope (`fe80::1%eth0`): without it they cannot be bound.
    Left out are IPv6 addresses that nobody can use yet: tentative ones, and duplicates.
    """
    standings = parse_standings(_read(_ADDRESSES))
    return tuple(_interface(adapter, standings) for adapter in ifaddr.get_adapters())


def read_gateways() -> Mapping[str, str]:
    """The router of the default IPv4 route, by interface name; empty where Linux does not tell."""
    return parse_gateways(_read(_ROUTES))


def _interface(adapter: ifaddr.Adapter, standings: Mapping[tuple[str, str], Standing]) -> Interface:
    addresses = [_address(adapter.name, each) for each in adapter.ips]
    standing = {each: standings.get((adapter.name, _bare(each))) for each in addresses}
    return Interface(
        adapter.name,
        tuple(each for each in addresses if standing[each] is not Standing.UNUSABLE),
        frozenset(_bare(each) for each in addresses if standing[each] is Standing.FLEETING),
    )


def _address(interface_name: str, ip: ifaddr.IP) -> IPv4Interface | IPv6Interface:
    if isinstance(ip.ip, str):
        return IPv4Interface(f"{ip.ip}/{ip.network_prefix}")
    text, _flow, scope = ip.ip
    where = f"%{interface_name}" if scope else ""
    return IPv6Interface(f"{text}{where}/{ip.network_prefix}")


def _bare(address: IPv4Interface | IPv6Interface) -> str:
    return str(address.ip).partition("%")[0]


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:  # Another system than Linux, or one without IPv6: all addresses are lasting.
        return ""
