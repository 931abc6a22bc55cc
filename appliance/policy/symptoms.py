"""Why a client does not find the box: from what a DNS server answered to the cause, and the cure.

Each cause shows in another way, so each is told apart by what was asked beside the one question
that matters: the same without DNSSEC's checks, a name that is nobody's here, the other kinds of
record. What a server answers to nobody cannot be told from what it drops; that is said as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from appliance.policy.addresses import is_public, parse_address

NOERROR = "NOERROR"
SILENT = "SILENT"  # No answer at all, in the place of a response code.

SNIPPETS = "its own lines: ollama-appliance dns snippets, or the box's page"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came to one question: the response code, and the records of the kind asked for."""

    code: str
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What one server says of the registry's name.

    `unchecked` is the A record once more with DNSSEC's checks off; `other` is that of a name which
    has nothing to do with the box.
    """

    a: Reply
    aaaa: Reply
    https: Reply
    unchecked: Reply
    other: Reply


class Symptom(Enum):
    """How a server fares, and why. The values are words for people."""

    LEADS_HERE = "leads to the box"
    PAST_BY_A = "leads past the box"
    PAST_BY_AAAA = "leads past the box by IPv6"
    PAST_BY_HTTPS = "gives an HTTPS record of the real registry, which leads past the box"
    DROPPED = "drops the answer, as protection against DNS rebinding does with private addresses"
    UNSIGNED = "takes the answer for forged, as DNSSEC validation does"
    NOWHERE = "does not know the registry"
    FAILING = "answers with failures, whatever it is asked"
    SILENT = "does not answer"


class Place(Enum):
    """What kind of server an address in resolv.conf is, as far as that can be seen."""

    STUB = "systemd-resolved on this machine"
    LOCAL = "a program on this machine"
    DOCKER = "Docker's own resolver"
    CLUSTER = "the cluster's own resolver"
    OVER_6 = "a server by IPv6"
    NETWORK = "a server on the network"


def name_symptom(told: Told, own: frozenset[str]) -> Symptom:
    """Tell what is the matter. `own` are the box's addresses."""
    found = frozenset(told.a.records)
    if not found and not own.intersection(told.aaaa.records):
        return _name_absence(told, own)
    if not found <= own:
        return Symptom.PAST_BY_A
    if not own.issuperset(told.aaaa.records):
        return Symptom.PAST_BY_AAAA
    return Symptom.PAST_BY_HTTPS if told.https.records else Symptom.LEADS_HERE


def _name_absence(told: Told, own: frozenset[str]) -> Symptom:
    """Why there is no A record, where the real registry has one and the box has another."""
    if told.aaaa.records:
        return Symptom.PAST_BY_AAAA
    if told.a.code == SILENT:
        return Symptom.SILENT
    if told.a.code == "SERVFAIL" and told.unchecked.records:
        return Symptom.UNSIGNED
    is_droppable = any(not is_public(each) for each in own)
    # An answer without a record is what is left of one whose record was taken out.
    if told.a.code == NOERROR and is_droppable:
        return Symptom.DROPPED
    if not told.other.records:
        return Symptom.FAILING
    return Symptom.DROPPED if is_droppable and told.a.code != "NXDOMAIN" else Symptom.NOWHERE


def place_server(address: str, search: Iterable[str] = ()) -> Place:
    """Tell what kind of server this is; `search` are resolv.conf's domains."""
    if any(each.rstrip(".").endswith("cluster.local") for each in search):
        return Place.CLUSTER
    parsed = parse_address(address)
    if not parsed.is_loopback:
        return Place.OVER_6 if parsed.version == 6 else Place.NETWORK
    known = {"127.0.0.11": Place.DOCKER, "127.0.0.53": Place.STUB, "127.0.0.54": Place.STUB}
    return known.get(str(parsed), Place.LOCAL)


def advise(symptom: Symptom, place: Place, server: str, box: str, name: str) -> str:
    """What to type, or where to go; "" where all is well."""
    if symptom is Symptom.LEADS_HERE:
        return ""
    if symptom is Symptom.DROPPED:
        return (
            f"there, allow it: dnsmasq, Pi-hole, OpenWrt: rebind-domain-ok=/{name}/; Unbound, "
            f'OPNsense, pfSense: private-domain: "{name}"; BIND: except-from {{ "{name}"; }}; '
            f"FRITZ!Box: Home Network, Network, DNS Rebind Protection: {name}; "
            f"or hand out {box} itself as the DNS server"
        )
    if symptom is Symptom.UNSIGNED:
        return (
            f'there, do not validate it: Unbound: domain-insecure: "{name}"; BIND: '
            f'validate-except {{ "{name}"; }}; dnsmasq: server=/{name}/{box}; '
            f"systemd-resolved: DNSSEC=no in /etc/systemd/resolved.conf"
        )
    if symptom in (Symptom.PAST_BY_AAAA, Symptom.PAST_BY_HTTPS):
        return f"there, answer nothing but the box's own records: {SNIPPETS}"
    if symptom in (Symptom.SILENT, Symptom.FAILING):
        return f"is it up? else take {server} out of what this machine is given"
    return _advise_by_place(place, server, box)


def _advise_by_place(place: Place, server: str, box: str) -> str:
    """How such a server comes to lead to the box, or out of the way."""
    if place is Place.DOCKER:
        return f"give the container the box's: docker run --dns {box} …; in compose: dns: [{box}]"
    if place is Place.CLUSTER:
        return "put the block into its Corefile: ollama-appliance dns snippets coredns"
    if place is Place.STUB:
        return f"it asks what the network gave it: resolvectl status; or: resolvectl dns LINK {box}"
    if place is Place.LOCAL:
        return f"have it answer as the box does: {SNIPPETS}; or, here: install.sh --hosts"
    if place is Place.OVER_6:
        return (
            f"the router hands out {server} by RDNSS or DHCPv6: have it hand out no DNS server by "
            f"IPv6, or the box's; or have that one answer as the box does: {SNIPPETS}"
        )
    return f"hand out {box} in its place (DHCP option 6), or have it answer so: {SNIPPETS}"
