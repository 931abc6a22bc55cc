"""What differs between Ollama's releases when they pull, as numbers and switches."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

PART_BYTES_MIN = 100_000_000  # Ollama counts in decimal megabytes.
PART_BYTES_MAX = 1_000_000_000
PARTS_AT_ONCE = 16
OLD_PARTS_AT_ONCE = 64  # Up to 0.3.6.
TENSORS_AT_ONCE = 4
OLD_TENSORS_AT_ONCE = 64
TRIES_MAX = 6
STALL_SECONDS = 30.0
DIRECT_URL_SECONDS = 30.0
# However fast the pace: with less patience, a busy machine is taken for one that fell silent.
WATCH_SECONDS_MIN = 1.0
CHUNKED_FROM_BYTES = 64 * 1024 * 1024  # Smaller blobs of client2 are a single chunk.
RESUMED_FROM_BYTES = 64 * 1024 * 1024  # Less of a tensor is thrown away.
SLOW_AFTER_SECONDS = 5.0  # No tensor is called slow before this.

_SHARED_BY_CARRIERS = ipaddress.ip_network("100.64.0.0/10")
_BENCHMARKS = ipaddress.ip_network("198.18.0.0/15")
_PRIVATE = [
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]


@dataclass(frozen=True, slots=True)
class Habits:
    """How one release behaves. The defaults are those of 0.33.

    `direct_statuses` are the answers that tell where a blob's bytes are; a release without any asks
    the registry itself for every part. `stays_on_host` means that only a blob's GET may be
    redirected to another host. `is_newest` means the releases that refuse a blob URL on a private
    address or in the clear, and a HEAD without length. `has_chunksums` is the experiment `client2`,
    another client altogether. `pace` divides every timer but those of dialling and
    `slow_after_seconds`, and shrinks nothing else; what judges the other side's silence keeps
    WATCH_SECONDS_MIN.
    """

    version: str = "0.33.0"
    direct_statuses: frozenset[int] = frozenset({200, 307})
    part_count: int = PARTS_AT_ONCE
    part_bytes_min: int = PART_BYTES_MIN
    part_bytes_max: int = PART_BYTES_MAX
    parts_at_once: int = PARTS_AT_ONCE
    stall_seconds: float = STALL_SECONDS
    watches_first_byte: bool = True
    stays_on_host: bool = False
    is_newest: bool = False
    has_chunksums: bool = False
    bodies_at_once: int = TENSORS_AT_ONCE
    chunked_from_bytes: int = CHUNKED_FROM_BYTES
    resumed_from_bytes: int = RESUMED_FROM_BYTES
    slow_after_seconds: float = SLOW_AFTER_SECONDS
    pace: float = 1.0

    @property
    def user_agent(self) -> str:
        return f"ollama/{self.version} (amd64 linux) Go/go1.26.6"

    def paced(self, seconds: float) -> float:
        """The time that `seconds` of the real client's take here."""
        return seconds / self.pace

    def watched(self, seconds: float) -> float:
        """How long the other side has, where the real client gives it `seconds`."""
        return max(self.paced(seconds), min(seconds, WATCH_SECONDS_MIN))


NEWEST = Habits(version="0.36.0", stays_on_host=True, is_newest=True)
BEFORE_0_35_2 = Habits(version="0.35.1", stays_on_host=True)
BEFORE_0_32_2 = Habits(
    version="0.32.1", watches_first_byte=False, bodies_at_once=OLD_TENSORS_AT_ONCE
)
BEFORE_0_5_8 = Habits(version="0.5.7", stall_seconds=5.0, watches_first_byte=False)
BEFORE_0_3_10 = replace(BEFORE_0_5_8, version="0.3.9", direct_statuses=frozenset({307}))
BEFORE_0_3_7 = replace(
    BEFORE_0_3_10, version="0.3.6", part_count=OLD_PARTS_AT_ONCE, parts_at_once=OLD_PARTS_AT_ONCE
)
BEFORE_0_3_1 = replace(BEFORE_0_3_7, version="0.3.0", direct_statuses=frozenset())
CLIENT2 = Habits(version="v0.0.0", has_chunksums=True)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The network as one client's machine has it.

    `ports` says where the default ports 443 and 80 really are, as nobody may bind those without
    root; a port that a URL names is taken as it is. `routes` says at which loopback address a
    public-looking one is to be found, as a router would. `https_proxy` and `http_proxy` are the
    variables so called: each is for URLs of that scheme.
    `hosts` are names that the machine knows without DNS, by a file of that name.
    `own_address` is the machine's, where several of them share a loopback; None leaves it open.
    """

    dns: tuple[str, int]
    ca_file: Path | None = None
    ports: Mapping[int, int] = field(default_factory=dict)
    routes: Mapping[str, str] = field(default_factory=dict)
    https_proxy: tuple[str, int] | None = None
    http_proxy: tuple[str, int] | None = None
    own_address: str | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)


def is_public(address: str) -> bool:
    """Whether the newest clients download parts from `address`."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified
    inner = [*_PRIVATE, _SHARED_BY_CARRIERS, _BENCHMARKS]
    return not special and not any(ip in network for network in inner)
