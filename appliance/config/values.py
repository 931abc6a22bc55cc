"""What the values in appliance.conf mean: text to checked values, one function for each kind.

Pure. Every `parse_` function takes any text whatever and either returns a value that needs no
further looking at, or raises ValueError with what is wrong with it ("" where the key's unit says
it all). The rest of the house never meets an unparsed setting.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import urlsplit

from appliance.policy.addresses import Addresses, name_refusal

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DNS_PORT = 53
HOST_NAME_SIZE_MAX = 253  # RFC 1035 §2.3.4: 255 octets on the wire, less two for the framing.

_UNITS = ("KiB", "MiB", "GiB", "TiB", "KB", "MB", "GB", "TB", "B", "%")
_SIZES_BYTES = {unit: Decimal(1024) ** power for power, unit in enumerate(_UNITS[:4], start=1)}
_SIZES_BYTES |= {unit: Decimal(1000) ** power for power, unit in enumerate(_UNITS[4:8], start=1)}
_SIZES_BYTES |= {"B": Decimal(1)}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

# ASCII digits, and few enough of them that every product stays exact.
_AMOUNT = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,3})?) ?([A-Za-z]{1,3}|%)")
_DURATION = re.compile(r"([0-9]{1,9}) ?([smhd]?)")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PRINTABLE = re.compile(r"[!-~]+")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Amount:
    """So many bytes, or a part of the file system they lie on; `unit` tells which."""

    number: Decimal
    unit: str

    def __str__(self) -> str:
        return f"{self.number}{self.unit}"

    def bytes_of(self, total_bytes: int) -> int:
        """The amount in bytes, on a file system of `total_bytes`."""
        if self.unit == "%":
            return int(self.number * total_bytes / 100)
        return int(self.number * _SIZES_BYTES[self.unit])


class Endpoint(NamedTuple):
    """Where a resolver listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_amount(text: str) -> Amount:
    """Read `200GiB`, `1.5 TB` or `80%`. GB is 1000³ and GiB 1024³; units may be in any case."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError("")
    units = {unit.lower(): unit for unit in _UNITS}
    unit = units.get(match[2].lower())
    if unit is None:
        raise ValueError(f"no such unit; known are {', '.join(_UNITS)}")
    amount = Amount(Decimal(match[1]), unit)
    if unit == "%" and amount.number > 100:
        raise ValueError("more than the whole")
    return amount


def parse_duration(text: str) -> int:
    """Read `30s`, `5m`, `2h`, `1d`, or bare seconds, into whole seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("")
    return int(match[1]) * _SECONDS[match[2]]


def parse_host_name(text: str) -> str:
    """Read a DNS name of two labels or more, in ASCII; returned in lower case, with no last dot."""
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > HOST_NAME_SIZE_MAX or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("letters, digits and hyphens, in labels parted by dots")
    if len(labels) < 2:
        raise ValueError("one label alone is no name that DNS answers for")
    if labels[-1].isdigit():
        raise ValueError("an address is not a name")
    return name


def parse_host_pattern(text: str) -> str:
    """Read a DNS name, or one with `*` for its first label and two labels or more after it."""
    if text.startswith("*."):
        return f"*.{parse_host_name(text.removeprefix('*.'))}"
    return parse_host_name(text)


def parse_address(text: str) -> Address:
    """Read an IPv4 or IPv6 address."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("") from None


def parse_public_addresses(text: str) -> Addresses:
    """Read an IPv4 address, an IPv6 address, or one of each parted by a comma; public ones only."""
    found: list[str] = []
    for each in filter(None, map(str.strip, text.split(","))):
        address = str(parse_address(each))
        kind = name_refusal(address)
        if kind is not None:
            raise ValueError(f"{address} is {kind}: the newest clients fetch no blob from there")
        found.append(address)
    addresses = Addresses.sort(found)
    if len(addresses.v4) > 1 or len(addresses.v6) > 1:
        raise ValueError("one of each kind at most")
    return addresses


def parse_network(text: str) -> Network:
    """Read `10.0.0.0/8`; an address alone is the network of just that one."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("") from None
    if str(network.network_address) != str(ipaddress.ip_interface(text).ip):
        raise ValueError(f"the network it lies in is {network}")
    return network


def parse_port(text: str) -> int:
    """Read a port, 1 to 65535."""
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def parse_endpoint(text: str) -> Endpoint:
    """Read `ip`, `ip:port` or `[ipv6]:port`; the port is 53 where none is said."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("")
        port = rest.removeprefix(":") if rest else str(DNS_PORT)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, str(DNS_PORT)
    return Endpoint(str(parse_address(host)), parse_port(port))


def parse_url(text: str, schemes: tuple[str, ...]) -> str:
    """Read `scheme://host[:port]` and return it in that one spelling."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("")
    url = urlsplit(text)
    if url.scheme not in schemes:
        raise ValueError(f"it starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "@" in url.netloc:
        raise ValueError("user names and passwords do not belong in it")
    if url.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("it ends after the host and port")
    host = _url_host(url.hostname or "")
    _, _, port = url.netloc.removesuffix("/").rpartition("]")[2].partition(":")
    return f"{url.scheme}://{host}" + (f":{parse_port(port)}" if port else "")


def _url_host(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text if _LABEL.fullmatch(text) else parse_host_name(text)
    return f"[{address}]" if address.version == 6 else str(address)


def optional[T](parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Let the empty text stand for nothing set."""
    return lambda text: parse(text) if text else None
