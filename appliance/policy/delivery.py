"""Which blob URL a client will accept: the one place that knows generations of Ollama apart.

Theory of operation. The un-ranged GET of a blob is answered as the real registry answers it: with a
`Location` from which the client then fetches ranges. What a client accepts as that URL depends on
how it came and how old it is. Over http everybody accepts a plain URL. Over https everybody did
until `refuse_private_from`; clients from there on demand https and a public address, which only the
blob host has, and only some networks reach it. So each kind of client has a row of deliveries that
it accepts after https, the cheapest first. From it goes what the operator rules out, what this
network lacks, and what this very client was given and left alone; the first that remains is
chosen. With none remaining the client is sent on to the origin's own URL: uncached, and working.

Nobody follows a redirect to the name that he dialled already; there the answer is a 200 that
carries a Location, or the same address in another spelling for clients that take 307 alone.

A version that cannot be known, and any pre-release of the threshold version, counts as newest: a
client taken for older than it is fails at once, one taken for newer costs a little more.
"""

from dataclasses import dataclass
from enum import Enum

from appliance.protocol.clients import Client, Version

# From here on the GET must lead to a Location; before, each range followed redirects by itself.
_LOCATION_FROM: Version = (0, 3, 1)
_LOCATION_OF_200_FROM: Version = (0, 3, 10)  # Before, only a 307's.
# From 0.5.7 a client closes the 200 at its head and never reads the body (run with real clients).
_BODILESS_200_FROM: Version = (0, 5, 7)


class Door(Enum):
    """How a request came in."""

    HTTPS = "https"
    HTTP = "http"
    PROXY = "proxy"  # Inside a CONNECT tunnel to an intercepted name.


class Delivery(Enum):
    """Where the body of a blob is to come from, as the client is told."""

    REDIRECT = "redirect"  # 307 to the box's plain http URL.
    RESPELLED = "respelled"  # The same, with the address written another way.
    TLS = "tls"  # 307 to the https URL on the blob host.
    LOCATION = "location"  # 200 without a body, and a Location on the host that was asked.
    INLINE = "inline"  # The bytes themselves, here and now.
    ORIGIN = "origin"  # The origin's own redirect, passed through.
    REFUSE = "refuse"  # Nothing it would accept: say so already at the manifest.


# From the box's private address, whoever asks.
_PRIVATE = frozenset({Delivery.REDIRECT, Delivery.LOCATION})


class Urls(Enum):
    """Which of its URLs the box names to who came by https (`blobs.delivery`)."""

    AUTO = "auto"
    PLAIN = "plain"
    TLS = "tls"


class Fallback(Enum):
    """What to do for clients that accept no URL of this box (`blobs.fallback`)."""

    ORIGIN = "origin"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """The operator's settings."""

    refuse_private_from: Version
    fallback: Fallback = Fallback.ORIGIN
    urls: Urls = Urls.AUTO


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How a request came, and what can be had for it.

    `dialled_by_address`: it names the box by the very address that a plain Location would name.
    `missed`: what this client was given lately, and never fetched from. `can_send_inline`: bodies
    can leave over TLS.
    """

    door: Door
    dialled_by_address: bool = False
    is_blob_host_offered: bool = False
    is_origin_reachable: bool = True
    missed: frozenset[Delivery] = frozenset()
    can_send_inline: bool = True


def choose_delivery(
    policy: DeliveryPolicy, client: Client, circumstances: Circumstances
) -> Delivery:
    """Choose for an un-ranged GET of a public blob."""
    if circumstances.door is Door.HTTP:
        return _choose_in_the_clear(client, dialled_by_address=circumstances.dialled_by_address)
    if policy.urls is Urls.PLAIN:
        return Delivery.REDIRECT
    row = _offered(policy, client, circumstances)
    untried = tuple(each for each in row if each not in circumstances.missed)
    for delivery in untried:
        # Who left one private address alone is taken for somebody who refuses them all.
        if delivery not in _PRIVATE or not circumstances.missed & _PRIVATE:
            return delivery
    if policy.fallback is Fallback.ORIGIN and circumstances.is_origin_reachable:
        return Delivery.ORIGIN
    # What failed once is better than nothing.
    return (*untried, *row, Delivery.REFUSE)[0]


def refuses_private(policy: DeliveryPolicy, client: Client) -> bool:
    """Whether a client that came by https refuses blobs from http and private addresses."""
    if not client.is_ollama or client.follows_redirects:
        return False
    return client.version is None or client.version >= policy.refuse_private_from


def _offered(
    policy: DeliveryPolicy, client: Client, circumstances: Circumstances
) -> tuple[Delivery, ...]:
    ruled_out = set()
    if policy.urls is Urls.TLS:
        ruled_out.add(Delivery.REDIRECT)
    if not circumstances.is_blob_host_offered:
        ruled_out.add(Delivery.TLS)
    if not circumstances.can_send_inline:
        ruled_out |= {Delivery.TLS, Delivery.LOCATION, Delivery.INLINE}
    row = _accepted_after_https(policy, client)
    return tuple(delivery for delivery in row if delivery not in ruled_out)


def _accepted_after_https(policy: DeliveryPolicy, client: Client) -> tuple[Delivery, ...]:
    """What it accepts of this box, the cheapest first."""
    if refuses_private(policy, client):
        # Tensors may come from the registry's own host, wherever that is, at twice the bytes.
        return (Delivery.TLS, Delivery.INLINE) if client.is_tensor else (Delivery.TLS,)
    if client.is_tensor:
        return (Delivery.REDIRECT, Delivery.TLS, Delivery.INLINE)
    if not client.is_ollama or client.follows_redirects or _is_before(client, _LOCATION_FROM):
        return (Delivery.REDIRECT, Delivery.INLINE)
    if _is_before(client, _BODILESS_200_FROM):
        return (Delivery.REDIRECT, Delivery.TLS)
    return (Delivery.REDIRECT, Delivery.TLS, Delivery.LOCATION)


def _choose_in_the_clear(client: Client, *, dialled_by_address: bool) -> Delivery:
    if not client.is_ollama or client.follows_redirects:
        return Delivery.INLINE
    if not dialled_by_address:
        return Delivery.REDIRECT
    if client.is_tensor or client.version is None or _is_before(client, _LOCATION_FROM):
        return Delivery.INLINE
    if _is_before(client, _LOCATION_OF_200_FROM):
        return Delivery.RESPELLED
    return Delivery.INLINE if _is_before(client, _BODILESS_200_FROM) else Delivery.LOCATION


def _is_before(client: Client, version: Version) -> bool:
    return client.version is not None and client.version < version
