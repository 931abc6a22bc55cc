"""Which addresses we answer with, dial, and listen to.

Addresses travel as text and are compared as numbers: an IPv4 address mapped into IPv6 counts as
the IPv4 address it is, and a scope (`fe80::1%eth0`) says where an address lives, not which it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)

Network = IPv4Network | IPv6Network

DNS_PORT = 53
SYSTEM_SERVERS_MAX = 3  # What the C library reads of resolv.conf; resolver(3), MAXNS.


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(each) for each in texts)


# What the newest clients refuse to fetch a blob from; documentation networks and 240/4 pass.
_NOT_PUBLIC: dict[str, tuple[Network, ...]] = {
    "private": _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "shared behind a carrier's NAT": _networks("100.64.0.0/10"),
    "for benchmarks": _networks("198.18.0.0/15"),
    "unspecified": _networks("0.0.0.0/32", "::/128"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
}
_NEVER_DIALLED: dict[str, tuple[Network, ...]] = {
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "multicast": _NOT_PUBLIC["multicast"],
    "the broadcast address": _networks("255.255.255.255/32"),
}
_ALWAYS_LOCAL = sum((_NOT_PUBLIC[kind] for kind in ("loopback", "private", "link-local")), ())
_GLOBAL_V6 = IPv6Network("2000::/3")  # All that is handed out as global unicast so far.


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface and its addresses, in the system's order."""

    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    fleeting: frozenset[str] = frozenset()
    """Those that will not last: temporary ones (RFC 8981), and deprecated ones."""

    @property
    def is_loopback(self) -> bool:
        """Whether nobody else is on it, whatever other addresses it was given."""
        return any(each.ip.is_loopback for each in self.addresses)

    @property
    def texts(self) -> tuple[str, ...]:
        """The addresses alone, with their scopes, which `IPv6Interface.ip` leaves out."""
        return tuple(str(each).partition("/")[0] for each in self.addresses)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses as DNS asks for them: one kind for A, the other for AAAA."""

    v4: tuple[str, ...] = ()
    v6: tuple[str, ...] = ()

    @classmethod
    def sort(cls, texts: Iterable[str]) -> "Addresses":
        """Sort by kind, keeping the order otherwise.

        Raises:
            ValueError: one is no address.
        """
        parsed = [parse_address(each) for each in texts]
        return cls(
            tuple(str(each) for each in parsed if each.version == 4),
            tuple(str(each) for each in parsed if each.version == 6),
        )

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)


class AddressRefusedError(Exception):
    """The origin's name leads to an address that we must not dial."""

    def __init__(self, address: str, kind: str, hint: str) -> None:
        super().__init__(f"{address} is {kind}")
        self.address = address
        self.hint = hint


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """Read an address without its scope; one mapped into IPv6 becomes the IPv4 address it is.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def is_public(text: str) -> bool:
    """Whether the newest clients would fetch a blob from this address."""
    return name_refusal(text) is None


def name_refusal(text: str) -> str | None:
    """What the newest clients refuse this address for: `private`; None where they would not."""
    return _kind(text, _NOT_PUBLIC)


def is_global_v6(text: str) -> bool:
    """Whether this is an IPv6 address that a provider hands out; no local use, no ULA."""
    return parse_address(text) in _GLOBAL_V6


def check_origin_address(address: str, own: frozenset[str], *, allow_private: bool) -> None:
    """Let pass what the box may dial as its origin.

    `own` are the box's addresses, scopes left out. `allow_private` is for an origin on the LAN
    or on this very machine.

    Raises:
        AddressRefusedError: it must not be dialled.
    """
    kind = _kind(address, _NEVER_DIALLED)
    if kind is not None:
        raise AddressRefusedError(address, kind, "correct the origin's records in DNS")
    if allow_private:
        return
    if str(parse_address(address)) in own:
        hint = "name a DNS server in dns.upstream that does not ask this box"
        raise AddressRefusedError(address, "this box itself", hint)
    kind = _kind(address, _NOT_PUBLIC)
    if kind is not None:
        hint = "set origin.allow_private = true if the origin is on your own network"
        raise AddressRefusedError(address, kind, hint)


def is_allowed(client: str, networks: Iterable[Network]) -> bool:
    """Whether the access rule lets this client address in."""
    address = parse_address(client)
    return any(address in network for network in networks)


def local_networks(interfaces: Iterable[Interface]) -> tuple[Network, ...]:
    """Every network that is local by its numbers, and the subnets the box has an address in."""
    subnets = (
        ip_network(f"{each.ip}/{each.network.prefixlen}", strict=False)
        for interface in interfaces
        for each in interface.addresses
        if each.network.prefixlen  # A tunnel's /0 is the whole world.
    )
    return tuple(dict.fromkeys((*_ALWAYS_LOCAL, *subnets)))


def choose_addresses(
    asked_at: str, interfaces: Iterable[Interface], configured: str = ""
) -> Addresses:
    """The box's own addresses to answer with, for a question that came in at `asked_at`.

    A configured address stands alone. Otherwise they are of the interface that was asked: its
    IPv4 address (the one asked at, or the first), and an IPv6 address only where it is global,
    one that lasts before one that does not. Never loopback, nor what else that interface was given:
    a question over loopback is answered as the first other interface would.
    """
    if configured:
        return Addresses.sort((configured,))
    asked = parse_address(asked_at)
    interfaces = tuple(interfaces)
    if asked.is_loopback:
        others = (_addresses(each) for each in interfaces if not each.is_loopback)
        return next(filter(None, others), Addresses())
    home = next((each for each in interfaces if _holds(each, asked_at)), None)
    found = _addresses(home) if home is not None else Addresses()
    if asked.version == 4:
        return Addresses((str(asked),), found.v6)
    return Addresses(found.v4, (str(asked),) if asked in _GLOBAL_V6 else found.v6)


def parse_server(text: str) -> tuple[str, int]:
    """A DNS server as written in `dns.upstream`, as host and port.

    Accepted are `1.1.1.1`, `127.0.0.1:5353`, `::1`, `[::1]` and `[::1]:53`.

    Raises:
        ValueError: it says what is wrong with it.
    """
    host, port = _split_port(text.strip())
    try:
        address = ip_address(host)
    except ValueError:
        raise ValueError(f"{text!r} is no address; write 1.1.1.1, 1.1.1.1:53 or [::1]:53") from None
    if _kind(host, _NEVER_DIALLED) is not None:
        raise ValueError(f"{text!r} is not an address that a server can have")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} has a port outside 1 to 65535")
    return str(address), int(port)


def parse_system_servers(text: str) -> tuple[tuple[str, int], ...]:
    """The servers that resolv.conf's `text` names, leaving out what cannot be read."""
    servers: list[tuple[str, int]] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            servers.append(parse_server(f"[{words[1]}]"))
        except ValueError:
            continue
    return tuple(servers[:SYSTEM_SERVERS_MAX])


def _split_port(text: str) -> tuple[str, str]:
    """Split host and port, both still text; more than one colon makes a bare IPv6 address."""
    if text.startswith("[") and "]" in text:
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":") if port else str(DNS_PORT)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, str(DNS_PORT)


def _kind(text: str, table: dict[str, tuple[Network, ...]]) -> str | None:
    return next((kind for kind, networks in table.items() if is_allowed(text, networks)), None)


def _holds(interface: Interface, text: str) -> bool:
    """Whether `text` is this interface's address; the scope, where both have one, must agree."""
    address, scope = parse_address(text), text.partition("%")[2]
    return any(
        parse_address(each) == address and scope in ("", each.partition("%")[2])
        for each in interface.texts
    )


def _addresses(interface: Interface) -> Addresses:
    """What this interface has to answer with: one address of each kind at most."""
    parsed = [parse_address(each) for each in interface.texts]
    v4 = [str(each) for each in parsed if each.version == 4 and not each.is_loopback]
    v6 = [str(each) for each in parsed if each in _GLOBAL_V6]
    v6.sort(key=interface.fleeting.__contains__)
    return Addresses(tuple(v4[:1]), tuple(v6[:1]))


def respell(address: str) -> str:
    """The same address in another spelling: as a host no longer the same, and dialled as before."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return f"::ffff:{parsed}"
    first, last = parsed.exploded[:30], IPv4Address(int(parsed) % 2**32)
    return f"{first}{last}"  # RFC 4291 §2.2: the last 32 bits may be written as IPv4's are.
