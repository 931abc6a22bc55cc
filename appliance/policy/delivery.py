"""Which blob URL a client will accept: the one place that knows generations of Ollama apart.

Theory of operation. The un-ranged GET of a blob is answered as the real registry answers it: with a
`Location` from which the client then fetches ranges. What a client accepts as that URL depends on
how it came and how old it is. Over http everybody accepts a plain URL. Over https everybody
did until `refuse_private_from`; clients from there on demand https and a public address, and where
the box has none they are sent on to the origin's own URL: uncached, and working. A redirect to the
name the client already dialled is followed by it and loops, so there the answer is a 200 that
carries a Location.

A version that cannot be known, and any pre-release of the threshold version, counts as newest: a
client taken for older than it is fails at once, one taken for newer only goes uncached.
"""

from dataclasses import dataclass
from enum import Enum

from appliance.protocol.clients import Client, Version

# From 0.5.7 a client closes the 200 at its head and never reads the body (run with real clients).
_BODILESS_200_FROM: Version = (0, 5, 7)


class Door(Enum):
    """How a request came in."""

    HTTPS = "https"
    HTTP = "http"


class Delivery(Enum):
    """Where the body of a blob is to come from, as the client is told."""

    REDIRECT = "redirect"  # 307 to the box's plain http URL.
    LOCATION = "location"  # 200 without a body, and the plain http URL as Location.
    INLINE = "inline"  # The bytes themselves, here and now.
    ORIGIN = "origin"  # The origin's own redirect, passed through.
    REFUSE = "refuse"  # Nothing it would accept: say so already at the manifest.


class Fallback(Enum):
    """What to do for clients that accept no URL of this box (`blobs.fallback`)."""

    ORIGIN = "origin"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The operator's settings: `always_plain` is `blobs.delivery = "plain"`."""

    refuse_private_from: Version
    fallback: Fallback = Fallback.ORIGIN
    always_plain: bool = False


def choose_delivery(
    policy: DeliveryPolicy, door: Door, client: Client, *, dialled_by_address: bool
) -> Delivery:
    """Choose for an un-ranged blob GET.

    `dialled_by_address`: the client names the box by the very address that a Location would name.
    """
    if door is Door.HTTP:
        return _choose_in_the_clear(client, dialled_by_address=dialled_by_address)
    if policy.always_plain or not refuses_private(policy, client):
        return Delivery.REDIRECT
    return Delivery.ORIGIN if policy.fallback is Fallback.ORIGIN else Delivery.REFUSE


def _choose_in_the_clear(client: Client, *, dialled_by_address: bool) -> Delivery:
    if not client.is_ollama:
        return Delivery.INLINE
    if not dialled_by_address:
        return Delivery.REDIRECT
    if client.version is not None and client.version >= _BODILESS_200_FROM:
        return Delivery.LOCATION
    return Delivery.INLINE


def refuses_private(policy: DeliveryPolicy, client: Client) -> bool:
    """Whether a client that came by https refuses blobs from http and private addresses."""
    if not client.is_ollama:
        return False
    return client.version is None or client.version >= policy.refuse_private_from
