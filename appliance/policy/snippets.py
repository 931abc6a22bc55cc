"""What a network's own DNS is told so that clients find the box: exact lines, each with its undo.

Each snippet names both hosts where the blob host has an address. Where the software would ask
elsewhere for the other kinds of record it is told not to: a record of the real registry that slips
past (AAAA, HTTPS) leads past the box.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.policy.recipes import Recipe

TTL_SECONDS = 30  # As our own DNS has it: a box that moved is found in half a minute.


@dataclass(frozen=True, slots=True)
class Record:
    """A name and the one address that it is to have."""

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


def list_snippets(records: tuple[Record, ...]) -> Iterator[Recipe]:
    """One for each software, those that most homes have first."""
    names = ", ".join(each.name for each in records)
    yield Recipe(
        "Pi-hole: Settings, Local DNS Records; name and address",
        tuple(f"{each.name}    {each.address}" for each in records),
        ("delete the records",),
    )
    yield Recipe(
        "AdGuard Home: Filters, DNS rewrites; domain and answer",
        tuple(f"{each.name}    {each.address}" for each in records),
        ("delete the rewrites",),
    )
    yield Recipe(
        "dnsmasq: a file in /etc/dnsmasq.d; then systemctl restart dnsmasq",
        tuple(
            line
            for each in records
            for line in (f"address=/{each.name}/{each.address}", f"local=/{each.name}/")
        ),
        ("remove the file, and restart dnsmasq",),
    )
    yield Recipe(
        "Unbound: a file in /etc/unbound/unbound.conf.d; then systemctl restart unbound",
        (
            "server:",
            *(
                line
                for each in records
                for line in (
                    f'  local-zone: "{each.name}." redirect',
                    f'  local-data: "{each.name}. {TTL_SECONDS} IN {each.kind} {each.address}"',
                )
            ),
        ),
        ("remove the file, and restart unbound",),
    )
    yield Recipe(
        "OPNsense: Services, Unbound DNS, Overrides, Hosts, Add",
        tuple(
            f"Host {each.host}, Domain {each.zone}, Type {each.kind}, IP address {each.address}"
            for each in records
        ),
        ("delete the overrides, and apply",),
    )
    yield Recipe(
        "UniFi: Settings, Policy Table (or Routing), DNS, Create",
        tuple(f"Host ({each.kind}), domain {each.name}, {each.address}" for each in records),
        ("delete the entries",),
    )
    yield Recipe(
        "MikroTik",
        tuple(
            f"/ip dns static add name={each.name} type={each.kind} address={each.address} "
            f"ttl={TTL_SECONDS}s comment=ollama-box"
            for each in records
        ),
        ("/ip dns static remove [find comment=ollama-box]",),
    )
    yield _windows(records)
    yield Recipe(
        f"A hosts file, on one machine ({names})",
        tuple(f"{each.address} {each.name}" for each in records),
        ("take the lines out again",),
    )


def _windows(records: tuple[Record, ...]) -> Recipe:
    lines, undo = [], []
    for each in records:
        option = "-IPv6Address" if each.kind == "AAAA" else "-IPv4Address"
        add = f"Add-DnsServerResourceRecord{each.kind}"
        lines += [
            f"Add-DnsServerPrimaryZone -Name {each.name} -ZoneFile {each.name}.dns",
            f"{add} -ZoneName {each.name} -Name '@' {option} {each.address} "
            f"-TimeToLive 00:00:{TTL_SECONDS}",
        ]
        undo.append(f"Remove-DnsServerZone -Name {each.name} -Force")
    return Recipe("Windows DNS, in PowerShell as administrator", tuple(lines), tuple(undo))
