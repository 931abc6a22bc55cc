"""The box's own addresses, by network interface, as the system has them now."""

from ipaddress import IPv4Interface, IPv6Interface

import ifaddr

from appliance.policy.addresses import Interface


def read_interfaces() -> tuple[Interface, ...]:
    """List every interface that has an address, loopback included, in the system's order.

    Link-local IPv6 addresses carry their scope (`fe80::1%eth0`): without it they cannot be bound.
    """
    return tuple(
        Interface(adapter.name, tuple(_address(adapter.name, each) for each in adapter.ips))
        for adapter in ifaddr.get_adapters()
    )


def _address(interface_name: str, ip: ifaddr.IP) -> IPv4Interface | IPv6Interface:
    if isinstance(ip.ip, str):
        return IPv4Interface(f"{ip.ip}/{ip.network_prefix}")
    text, _flow, scope = ip.ip
    where = f"%{interface_name}" if scope else ""
    return IPv6Interface(f"{text}{where}/{ip.network_prefix}")
