"""What a network's own DNS is told so that clients find the box: exact lines, each with its undo.

Each snippet names both hosts where the blob host has an address. Where the software would ask
elsewhere for the other kinds of record it is told not to: a record of the real registry that slips
past (AAAA, HTTPS) leads past the box.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from appliance.policy.addresses import Addresses
from appliance.policy.recipes import Recipe

TTL_SECONDS = 30  # As our own DNS has it: a box that moved is found in half a minute.


@dataclass(frozen=True, slots=True)
class Record:
    """A name and an address that it is to have."""

    name: str
    address: str

    @property
    def kind(self) -> str:
        return "AAAA" if ":" in self.address else "A"

    @property
    def host(self) -> str:
        """The name's first label; `zone` is the rest."""
        return self.name.partition(".")[0]

    @property
    def zone(self) -> str:
        return self.name.partition(".")[2]


type Records = tuple[Record, ...]


def make_records(registry: str, box: Addresses, blob_host: str, blobs: Addresses) -> Records:
    """What the network's DNS is to answer: for each name no more than one address of each kind."""
    pairs = ((registry, box), (blob_host, blobs))
    return tuple(
        Record(name, each)
        for name, addresses in pairs
        for each in (*addresses.v4[:1], *addresses.v6[:1])
    )


def list_snippets(records: Records) -> Iterator[Recipe]:
    """One for each software, those that most homes have first."""
    for make in SNIPPETS.values():
        yield make(records)


def _names(records: Records) -> tuple[str, ...]:
    """Each name once."""
    return tuple(dict.fromkeys(each.name for each in records))


def _of(name: str, records: Records) -> Iterator[Record]:
    return (each for each in records if each.name == name)


def _pairs(records: Records) -> tuple[str, ...]:
    """Name and address, as forms ask for them."""
    return tuple(f"{each.name}    {each.address}" for each in records)


def _dnsmasq_lines(records: Records) -> tuple[str, ...]:
    """`local` keeps dnsmasq from asking elsewhere for what `address` does not tell."""
    return tuple(
        line
        for name in _names(records)
        for line in (
            *(f"address=/{name}/{each.address}" for each in _of(name, records)),
            f"local=/{name}/",
        )
    )


def _pihole(records: Records) -> Recipe:
    # Not its Local DNS Records, with which it asks elsewhere for what they do not say.
    return Recipe(
        "Pi-hole 6: Settings, All settings, Expert, Miscellaneous, misc.dnsmasq_lines "
        "(before: a file in /etc/dnsmasq.d, then pihole restartdns)",
        _dnsmasq_lines(records),
        ("take the lines out again, and save",),
    )


def _adguard(records: Records) -> Recipe:
    return Recipe(
        "AdGuard Home: Filters, DNS rewrites; domain and answer",
        _pairs(records),
        ("delete the rewrites",),
    )


def _dnsmasq(records: Records) -> Recipe:
    return Recipe(
        "dnsmasq: a file in /etc/dnsmasq.d; then systemctl restart dnsmasq",
        _dnsmasq_lines(records),
        ("remove the file, and restart dnsmasq",),
    )


def _unbound(records: Records) -> Recipe:
    lines = ["server:"]
    for name in _names(records):
        lines.append(f'  local-zone: "{name}." redirect')
        lines += [
            f'  local-data: "{name}. {TTL_SECONDS} IN {each.kind} {each.address}"'
            for each in _of(name, records)
        ]
    return Recipe(
        "Unbound: a file in /etc/unbound/unbound.conf.d; then systemctl restart unbound",
        tuple(lines),
        ("remove the file, and restart unbound",),
    )


def _bind(records: Records) -> Recipe:
    """A zone of its own for each name: BIND then asks nobody for it, and validates nothing."""
    configuration = f"{_BIND_FOLDER}/named.conf.local"
    lines, undo = [], []
    for name in _names(records):
        file = f"{_BIND_FOLDER}/db.{name}"
        lines += [
            f"sudo tee {file} <<'END'",
            f"$TTL {TTL_SECONDS}",
            f"@ SOA localhost. root.localhost. 1 3600 600 86400 {TTL_SECONDS}",
            "@ NS localhost.",
            *(f"@ {each.kind} {each.address}" for each in _of(name, records)),
            "END",
            f"sudo tee -a {configuration} <<'END'",
            f'zone "{name}" {{ type primary; file "{file}"; }};',
            "END",
        ]
        undo.append(f"sudo sed -i '/zone \"{name}\"/d' {configuration} && sudo rm {file}")
    title = "BIND (named), in a shell; then systemctl restart named"
    return Recipe(title, tuple(lines), (*undo, "sudo systemctl restart named"))


_BIND_FOLDER = "/etc/bind"  # Debian's; elsewhere it is /etc or /etc/named.


def _coredns(records: Records) -> Recipe:
    """A server block without `forward`, so that what `hosts` does not know is not there."""
    return Recipe(
        "CoreDNS: a block of its own in the Corefile; then restart it",
        (
            f"{' '.join(_names(records))} {{",
            "    hosts {",
            *(f"        {each.address} {each.name}" for each in records),
            f"        ttl {TTL_SECONDS}",
            "    }",
            "}",
        ),
        ("take the block out again, and restart CoreDNS",),
    )


def _opnsense(records: Records) -> Recipe:
    return Recipe(
        "OPNsense: Services, Unbound DNS, Overrides, Hosts, Add",
        tuple(
            f"Host {each.host}, Domain {each.zone}, Type {each.kind}, IP address {each.address}"
            for each in records
        ),
        ("delete the overrides, and apply",),
    )


def _unifi(records: Records) -> Recipe:
    return Recipe(
        "UniFi: Settings, Policy Table (or Routing), DNS, Create",
        tuple(f"Host ({each.kind}), domain {each.name}, {each.address}" for each in records),
        ("delete the entries",),
    )


def _mikrotik(records: Records) -> Recipe:
    return Recipe(
        "MikroTik",
        tuple(
            f"/ip dns static add name={each.name} type={each.kind} address={each.address} "
            f"ttl={TTL_SECONDS}s comment=ollama-box"
            for each in records
        ),
        ("/ip dns static remove [find comment=ollama-box]",),
    )


def _windows(records: Records) -> Recipe:
    lines, undo = [], []
    for name in _names(records):
        lines.append(f"Add-DnsServerPrimaryZone -Name {name} -ZoneFile {name}.dns")
        undo.append(f"Remove-DnsServerZone -Name {name} -Force")
        for each in _of(name, records):
            option = "-IPv6Address" if each.kind == "AAAA" else "-IPv4Address"
            lines.append(
                f"Add-DnsServerResourceRecord{each.kind} -ZoneName {name} -Name '@' "
                f"{option} {each.address} -TimeToLive 00:00:{TTL_SECONDS}"
            )
    return Recipe("Windows DNS, in PowerShell as administrator", tuple(lines), tuple(undo))


def _hosts(records: Records) -> Recipe:
    return Recipe(
        f"A hosts file, on one machine ({', '.join(_names(records))})",
        tuple(f"{each.address} {each.name}" for each in records),
        ("take the lines out again",),
    )


SNIPPETS: Mapping[str, Callable[[Records], Recipe]] = MappingProxyType(
    {
        "pihole": _pihole,
        "adguard": _adguard,
        "dnsmasq": _dnsmasq,
        "unbound": _unbound,
        "bind": _bind,
        "coredns": _coredns,
        "opnsense": _opnsense,
        "unifi": _unifi,
        "mikrotik": _mikrotik,
        "windows": _windows,
        "hosts": _hosts,
    }
)
"""By the name that is typed for it."""
