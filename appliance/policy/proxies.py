"""By which proxy an Ollama server goes, as its environment says it and Go reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from appliance.policy.addresses import parse_address


@dataclass(frozen=True, slots=True)
class Proxies:
    """What is set; "" where nothing is. ALL_PROXY is not here: Go does not read it."""

    http: str
    https: str
    excluded: str


def read_proxies(environ: Mapping[str, str]) -> Proxies:
    """Read them, the upper case before the lower."""

    def find(name: str) -> str:
        return environ.get(name) or environ.get(name.lower()) or ""

    return Proxies(find("HTTP_PROXY"), find("HTTPS_PROXY"), find("NO_PROXY"))


def is_excluded(excluded: str, host: str) -> bool:
    """Whether NO_PROXY keeps `host` from the proxy: by its name, a name above it, or a network."""
    return any(_excludes(each.strip().lower(), host.lower()) for each in excluded.split(","))


def find_host(proxy: str) -> str:
    """The proxy's own host, whether or not its scheme was written; "" where there is none."""
    try:
        return urlsplit(proxy if "://" in proxy else f"http://{proxy}").hostname or ""
    except ValueError:
        return ""


def leads_to_box(proxy: str, own: frozenset[str]) -> bool:
    """Whether the proxy is the box, named by one of its addresses."""
    try:
        return str(parse_address(find_host(proxy))) in own
    except ValueError:
        return False  # A name: it may be anybody's.


def _excludes(entry: str, host: str) -> bool:
    if entry in ("", "*"):
        return entry == "*"
    name = entry.removeprefix("*").removeprefix(".")
    bare = name.rpartition(":")[0] if name.count(":") == 1 else name  # A port is no matter here.
    if host == bare or host.endswith(f".{bare}"):
        return True
    try:
        return ip_address(host) in ip_network(bare, strict=False)
    except ValueError:
        return False
