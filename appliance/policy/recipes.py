"""What an operator types so that clients reach the blob host: exact lines, each with its undo.

Each recipe is one way, or one piece of software; nobody needs them all. The DHCP ones always hold
the default route as well: a client that is given classless routes ignores the router option.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.policy.routes_option import Route, encode_routes

# RFC 5737: set apart for documentation, so on no network; and clients do not take it for private.
EXAMPLE_ADDRESS = "203.0.113.10"
ROUTES_OPTIONS = (121, 249)  # RFC 3442, and the number that Windows asked for before it.


@dataclass(frozen=True, slots=True)
class Lan:
    """The network as the box sees it. `box` is its IPv4 address there, `router` the default one."""

    box: str
    router: str = ""
    network: str = ""
    interface: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Lines to type or to put into a file, and those that take it back, if anything is left."""

    title: str
    lines: tuple[str, ...]
    undo: tuple[str, ...] = ()


def plan_routes(lan: Lan, blob_address: str) -> tuple[Route, ...]:
    """What a client must be given: the way out as before, and the way to the blob host.

    Raises ValueError: the router is not known, or one of them is no IPv4 address.
    """
    return Route.parse("0.0.0.0/0", lan.router), Route.parse(f"{blob_address}/32", lan.box)


def list_addressless_recipes(lan: Lan, proxy_port: int | None) -> Iterator[Recipe]:
    """The ways that need no such address: plain http, and the proxy where the box has one."""
    yield Recipe("For one pull, without https and without the CA", ("ollama pull --insecure NAME",))
    if proxy_port is not None:
        yield Recipe(
            "By the box as a proxy, on one client that trusts its CA: `systemctl edit ollama`, "
            "then `systemctl restart ollama`; DNS is not used",
            ("[Service]", f"Environment=HTTPS_PROXY=http://{lan.box}:{proxy_port}"),
            ("take both lines out again, and restart ollama",),
        )


def list_address_recipes(blob_address: str) -> Iterator[Recipe]:
    """How the box itself gets an IPv4 address for the blob host."""
    yield Recipe(
        "On this box, as root; and again at each start, by whatever sets up its network",
        (f"ip address add {blob_address}/32 dev lo",),
        (f"ip address del {blob_address}/32 dev lo",),
    )
    yield Recipe(
        "In its appliance.conf, below [blobs]; then start the box anew",
        (f'address = "{blob_address}"',),
        ('address = ""',),
    )


def list_route_recipes(lan: Lan, blob_address: str) -> Iterator[Recipe]:
    """How clients get a route to it without DHCP: by their router, or one by one."""
    way = f"{blob_address}/32 via {lan.box}"
    yield Recipe(
        "A static route on the router, if that is Linux (some firewalls drop what then comes back "
        "by another way: DHCP avoids that)",
        (f"ip route add {way}",),
        (f"ip route del {way}",),
    )
    yield Recipe(
        "A static route on the router, if that is MikroTik",
        (f"/ip route add dst-address={blob_address}/32 gateway={lan.box} comment=ollama",),
        ("/ip route remove [find comment=ollama]",),
    )
    yield Recipe("On one client: Linux", (f"ip route add {way}",), (f"ip route del {way}",))
    yield Recipe(
        "On one client: macOS",
        (f"sudo route -n add -host {blob_address} {lan.box}",),
        (f"sudo route -n delete -host {blob_address}",),
    )
    yield Recipe(
        "On one client: Windows, as administrator",
        (f"route -p add {blob_address} mask 255.255.255.255 {lan.box}",),
        (f"route delete {blob_address}",),
    )


def list_dhcp_recipes(lan: Lan, blob_address: str) -> Iterator[Recipe]:
    """How DHCP gives clients the route. Raises ValueError: the router is not known."""
    routes = plan_routes(lan, blob_address)
    value = encode_routes(routes)
    yield _dnsmasq(routes)
    yield _isc_dhcpd(value)
    yield _kea(value)
    yield _mikrotik(value, lan.network)


def list_announcing_recipes(interface: str, address: str) -> Iterator[Recipe]:
    """How the box announces an IPv6 address of its own."""
    yield Recipe(
        "Without any change to router or clients, where the network has no IPv6: the box announces "
        "an address of its own. On this box, as root; and again at each start",
        (f"ip -6 address add {address}/128 dev {interface}",),
        (f"ip -6 address del {address}/128 dev {interface}",),
    )
    yield Recipe(
        "For that also in its appliance.conf, below [blobs]; then start the box anew",
        ("announce = true",),
        ("announce = false",),
    )
    yield Recipe(
        "And the service that announces it",
        ("systemctl enable --now ollama-appliance-announce",),
        ("systemctl disable --now ollama-appliance-announce",),
    )


def _dnsmasq(routes: tuple[Route, ...]) -> Recipe:
    value = ",".join(f"{each.network},{each.router}" for each in routes)
    lines = tuple(f"dhcp-option={number},{value}" for number in ROUTES_OPTIONS)
    return Recipe("DHCP by dnsmasq (also Pi-hole, OpenWrt)", lines, _without(lines))


def _isc_dhcpd(value: bytes) -> Recipe:
    names = ("rfc3442-classless-static-routes", "ms-classless-static-routes")
    kind = "array of unsigned integer 8"
    numbers = ", ".join(map(str, value))
    lines = (
        *(
            f"option {name} code {number} = {kind};"
            for name, number in zip(names, ROUTES_OPTIONS, strict=True)
        ),
        *(f"option {name} {numbers};" for name in names),
    )
    return Recipe(
        "DHCP by ISC dhcpd: two at the top of dhcpd.conf, two in the subnet", lines, _without(lines)
    )


def _kea(value: bytes) -> Recipe:
    fields = '"space": "dhcp4", "csv-format": false, "data"'
    lines = tuple(
        f'{{ "code": {number}, {fields}: "{value.hex()}" }}{comma}'
        for number, comma in zip(ROUTES_OPTIONS, (",", ""), strict=True)
    )
    return Recipe('DHCP by Kea, in "option-data" of the subnet', lines, _without(lines))


def _mikrotik(value: bytes, network: str) -> Recipe:
    which = f"[find address={network}]" if network else "[find]"
    add = "/ip dhcp-server option add"
    lines = (
        *(
            f"{add} name=ollama-{number} code={number} value=0x{value.hex()}"
            for number in ROUTES_OPTIONS
        ),
        f"/ip dhcp-server network set {which} dhcp-option=ollama-121,ollama-249",
    )
    undo = (
        f'/ip dhcp-server network set {which} dhcp-option=""',
        '/ip dhcp-server option remove [find name~"^ollama-"]',
    )
    return Recipe("DHCP by MikroTik (add to the list what dhcp-option held before)", lines, undo)


def _without(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The undo of lines in a file."""
    return (f"take the {len(lines)} lines out again, and restart the DHCP server",)
