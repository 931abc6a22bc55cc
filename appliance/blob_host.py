"""The blob host of this box: its addresses as they are now, who is offered it, and what is missing.

The decisions are `policy.blob_addresses`; this brings them what is so at the moment.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface

from appliance.policy.addresses import Addresses, Interface
from appliance.policy.askers import Askers
from appliance.policy.blob_addresses import (
    BlobPlace,
    choose_blob_addresses,
    decide_offer,
    held_addresses,
    usable,
)
from appliance.policy.health import Check
from appliance.policy.recipes import (
    EXAMPLE_ADDRESS,
    Lan,
    Recipe,
    list_address_recipes,
    list_addressless_recipes,
    list_announcing_recipes,
    list_dhcp_recipes,
    list_route_recipes,
)

LINES_VERB = "ollama-appliance blob-address"


@dataclass(frozen=True)
class BlobHost:
    """Where clients that refuse private addresses fetch blobs, if anywhere.

    `askers` knows whom our DNS leads here, by the monotonic `clock`. `announcing` says why
    `place.announced` is not being announced; "" while it is. `announceable` is what this box would
    announce, if it were asked to.
    """

    place: BlobPlace
    read_interfaces: Callable[[], tuple[Interface, ...]]
    askers: Askers
    refuse_private_from: str
    announcing: Callable[[], str] = str
    announceable: str = ""
    proxy_port: int | None = None
    read_gateways: Callable[[], Mapping[str, str]] = field(default=dict)
    clock: Callable[[], float] = time.monotonic

    def addresses(self, dialled: str) -> Addresses:
        """What the blob host's name stands for, for a client that dialled the box there."""
        return choose_blob_addresses(dialled, self.read_interfaces(), self.place)

    def is_offered(self, client_address: str, dialled: str) -> bool:
        """Whether the blobs of a client that has just come may be sent by the blob host."""
        now = self.clock()
        self.askers.note_visit(client_address, now)
        return decide_offer(
            self.addresses(dialled),
            self.place,
            dialled,
            is_known=self.askers.find_our_names(client_address, now),
            is_announcing=bool(self.place.announced) and not self.announcing(),
        )

    def is_anybody_led_here(self) -> bool:
        """Whether our DNS led somebody to this box within the last hour."""
        return self.askers.are_there(self.clock())

    def check(self) -> Check:
        """Who can fetch blobs at the blob host, as a line for people; what is amiss, if it is."""
        missing = self._missing()
        if missing:
            return Check(is_ok=False, detail=missing)
        newest = f"Ollama {self.refuse_private_from} and newer"
        found = self._everywhere()
        if not found:
            what = f"after https {newest} can fetch no blob here, and go past the box"
            return Check(is_ok=True, detail=f"{what}; ways to change that: {LINES_VERB}")
        if not (self.is_anybody_led_here() or self.place.is_published):
            told = f"nobody is sent to {_join(found)}: nobody asked this box's DNS in the last hour"
            return Check(is_ok=True, detail=f"{told}, nor is blobs.published set")
        if found.v4 or self.place.announced in found.v6:
            return Check(is_ok=True, detail=f"{newest} fetch blobs at {_join(found)}")
        told = f"{newest} fetch blobs at {_join(found)} where they came by IPv6"
        return Check(is_ok=True, detail=f"{told}; for the others: {LINES_VERB}")

    def is_needed(self) -> bool:
        """Whether there are clients that could reach a blob host only after somebody's doing."""
        found = self._everywhere()
        return bool(self._missing()) or not (found.v4 or self.place.announced in found.v6)

    def recipes(self, lan: Lan | None = None) -> tuple[Recipe, ...]:
        """What to type on this very network. What needs a router that is not known is left out."""
        lan = lan or self.lan()
        if lan is None:
            return ()
        address = next(iter(self.place.configured.v4), EXAMPLE_ADDRESS)
        found = [
            *list_addressless_recipes(lan, self.proxy_port),
            *list_address_recipes(address),
            *list_route_recipes(lan, address),
        ]
        if lan.router:
            found += list_dhcp_recipes(lan, address)
        if lan.interface and self.announceable:
            found += list_announcing_recipes(lan.interface, self.announceable)
        return tuple(found)

    def lan(self) -> Lan | None:
        """The network that most clients are on: the one with the router; None without any."""
        gateways, configured = self.read_gateways(), self.place.box_address
        homes = [
            Lan(str(each.ip), gateways.get(home.name, ""), str(each.network), home.name)
            for home in self.read_interfaces()
            for each in home.addresses
            if isinstance(each, IPv4Interface) and not home.is_loopback
        ]
        homes.sort(key=lambda each: not each.router)
        if not configured:
            return homes[0] if homes else None
        # A container's bridge is not the network that clients are on, nor is its router theirs.
        elsewhere = Lan(configured) if ":" not in configured else None
        return next((each for each in homes if each.box == configured), elsewhere)

    def _missing(self) -> str:
        """What the operator set and the machine lacks; "" where nothing is."""
        held, place = held_addresses(self.read_interfaces()), self.place
        configured = place.configured
        had = usable(configured, held, is_trusted=place.is_trusted)
        for address in configured.v4:
            if address not in had.v4:
                return f"no interface has {address}: type ip address add {address}/32 dev lo"
        for address in (*configured.v6, *filter(None, [place.announced])):
            if address not in held and address not in had.v6:
                home = self._lan_interface()
                line = f"ip -6 address add {address}/128 dev {home}"
                return f"no interface has {address}: type {line}"
        return self.announcing() if place.announced else ""

    def _lan_interface(self) -> str:
        lan = self.lan()
        return (lan.interface if lan else "") or "eth0"

    def _everywhere(self) -> Addresses:
        """Its addresses on all networks of the box together."""
        outward = [each for each in self.read_interfaces() if not each.is_loopback]
        doors = [text for each in outward for text in each.texts if text not in each.fleeting]
        found = [self.addresses(door) for door in doors or ["127.0.0.1"]]
        return Addresses(
            _unique(each for pair in found for each in pair.v4),
            _unique(each for pair in found for each in pair.v6),
        )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _join(addresses: Addresses) -> str:
    return " and ".join((*addresses.v4, *addresses.v6))
