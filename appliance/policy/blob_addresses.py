"""The blob host's addresses, and to whom it is offered: only on evidence that it will be reached.

Theory of operation. The newest clients fetch blobs from public-looking addresses alone, and a
client that is sent where it has no way to fails for a minute and then for good. So the blob host
is offered only where two things are known. The client can find its name: it asks this box's DNS
(`askers`), or the operator says that the name is published. And it has a way to the address: a
global IPv6 one for a client that has just come by global IPv6; any other because the operator set
it.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from appliance.policy.addresses import (
    Addresses,
    Interface,
    choose_addresses,
    is_global_v6,
    is_public,
    parse_address,
)

_LOCAL_USE = IPv6Network("64:ff9b:1::/48").network_address.packed[:6]


@dataclass(frozen=True, slots=True)
class BlobPlace:
    """Where the operator has the blob host: `blobs.address`, what is announced, `box.address`.

    `is_published` is the operator's word that every client finds the name and has a way to it.
    """

    configured: Addresses = field(default_factory=Addresses)
    announced: str = ""
    box_address: str = ""
    is_published: bool = False

    @property
    def is_trusted(self) -> bool:
        """Whether an address counts as the box's own although the machine does not have it."""
        return self.is_published or bool(self.box_address)


def choose_announced(configured: Addresses, secret: bytes) -> str:
    """The address to announce: the IPv6 one that was set, or one that is this box's alone.

    It is made of the box's secret, in the prefix for local use that clients take for public
    (RFC 8215). Nothing translates it: the octet that RFC 6052 wants to be zero is zero all the
    same.
    """
    if configured.v6:
        return configured.v6[0]
    digest = hmac.digest(secret, b"announced address", "sha256")
    return str(IPv6Address(_LOCAL_USE + digest[:2] + bytes(2) + digest[2:8]))


def choose_blob_addresses(
    asked_at: str, interfaces: Iterable[Interface], place: BlobPlace
) -> Addresses:
    """The blob host's addresses for a client that reached the box at `asked_at`; all public.

    What the operator set comes first, then the box's global IPv6 address on that interface, then
    what it announces. An address that the machine has not got is left out.
    """
    interfaces = tuple(interfaces)
    held = held_addresses(interfaces)
    configured = usable(place.configured, held, is_trusted=place.is_trusted)
    home = choose_addresses(asked_at, interfaces, place.box_address)
    announced = (place.announced,) if place.announced in held else ()
    return _public(Addresses(configured.v4, configured.v6 or home.v6 or announced))


def held_addresses(interfaces: Iterable[Interface]) -> frozenset[str]:
    """Every address of the machine, without scopes."""
    return frozenset(str(parse_address(text)) for each in interfaces for text in each.texts)


def usable(configured: Addresses, held: frozenset[str], *, is_trusted: bool) -> Addresses:
    """What of `configured` the machine has, or all of it where that is not ours to judge."""
    if is_trusted:
        return configured
    return Addresses(
        tuple(each for each in configured.v4 if each in held),
        tuple(each for each in configured.v6 if each in held),
    )


def decide_offer(
    addresses: Addresses,
    place: BlobPlace,
    dialled: str,
    *,
    is_known: bool,
    is_announcing: bool,
) -> bool:
    """Whether a client that dialled the box at `dialled` is sent to a blob host at `addresses`.

    `is_known` says that it finds names that only our DNS answers.
    """
    if not (is_known or place.is_published):
        return False
    if addresses.v4:
        return True
    if not addresses.v6:
        return False
    if addresses.v6 == (place.announced,):
        return is_announcing
    set_by_operator = place.is_published and addresses.v6 == place.configured.v6
    return set_by_operator or is_global_v6(dialled)


def _public(addresses: Addresses) -> Addresses:
    return Addresses(
        tuple(each for each in addresses.v4 if is_public(each)),
        tuple(each for each in addresses.v6 if is_public(each)),
    )
