"""What the side server shows of the box: values and questions handed in by the supervisor."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.cache.pulls import Cache
from appliance.policy.addresses import Addresses
from appliance.policy.health import Check
from appliance.policy.recipes import Recipe
from appliance.web.prefetches import Prefetch


@dataclass(frozen=True, slots=True)
class Facts:
    """The box as it was started, and how to ask how it is. Instants in seconds since the epoch."""

    version: str
    started_at: float
    state_dir: str
    registry_name: str
    blob_host: str
    refuse_private_from: str
    recipes: Callable[[], tuple[Recipe, ...]]  # How such clients reach the blob host; or none.
    ca_pem: bytes
    ca_fingerprint: str
    dns_port: int | None  # None: no DNS of ours.
    tls_port: int
    proxy_port: int | None  # None: no proxy way.
    web_port: int
    addresses: Callable[[], tuple[str, ...]]  # The box's own, as clients may dial them.
    checks: Callable[[], Mapping[str, Check]]
    cache: Cache
    now: Callable[[], float]
    # Where the blob host is, for a client that dialled the box at an address of its own.
    blob_addresses: Callable[[str], Addresses] = lambda dialled: Addresses()
    prefetches: Callable[[], tuple[Prefetch, ...]] = tuple  # What is fetched ahead of time.
