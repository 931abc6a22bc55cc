"""What must hold between keys, or outside of them, for a configuration to make sense.

Each rule is a row: the keys it concerns, and a function that returns what is wrong, or None. Broken
ERRORS keep the box from starting; broken WARNINGS are legal, and said.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from appliance.config.keys import Sections

# Sign-in and prompts to cloud models travel under these: never ours to open.
NAMES_NEVER_INTERCEPTED = frozenset({"ollama.com", "www.ollama.com"})

_PEM_MARK = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class Rule:
    """`keys` are `section.key`; a break is shown at the first of them that somebody set."""

    keys: tuple[str, ...]
    broken: Callable[[Sections], str | None]


def _shared_port(config: Sections) -> str | None:
    ports = [config.tls.port, *config.web.ports]
    if config.dns.enabled:
        ports.append(config.dns.port)
    if config.proxy.enabled:
        ports.append(config.proxy.port)
    port, count = Counter(ports).most_common(1)[0]
    return f"port {port} is given to more than one listener" if count > 1 else None


def _blob_host_is_origin(config: Sections) -> str | None:
    if config.blobs.host == config.origin.name:
        return (
            "must differ from origin.name: clients do not follow a redirect to the name they asked"
        )
    return None


def _never_intercepted(config: Sections) -> str | None:
    if config.origin.name in NAMES_NEVER_INTERCEPTED:
        return f"{config.origin.name} is not a registry: sign-in and cloud prompts travel there"
    return None


def _state_dir_is_no_directory(config: Sections) -> str | None:
    state_dir = config.box.state_dir
    if state_dir is not None and state_dir.exists() and not state_dir.is_dir():
        return f"{state_dir} is not a directory"
    return None


def _mount_point_elsewhere(config: Sections) -> str | None:
    mount_point, state_dir = config.box.mount_point, config.box.state_dir
    if mount_point is None or state_dir is None:
        return None
    if state_dir.absolute().is_relative_to(mount_point.absolute()):
        return None
    return f"{state_dir}, the state directory, does not lie on {mount_point}"


def _ca_file_unfit(config: Sections) -> str | None:
    ca_file = config.origin.ca_file
    if ca_file is None:
        return None
    try:
        content = ca_file.read_bytes()
    except OSError as error:
        return f"{ca_file} cannot be read: {error.strerror}"
    return None if _PEM_MARK in content else f"{ca_file} holds no PEM certificate"


def _upstream_is_the_box(config: Sections) -> str | None:
    own = {str(address) for address in config.box.listen}
    if config.box.address is not None:
        own.add(str(config.box.address))
    for each in config.dns.upstream if config.dns.enabled else ():
        if each.port == config.dns.port and each.host in own:
            return f"{each} is the box itself: it would ask itself for ever"
    return None


def _blob_address_not_listened_at(config: Sections) -> str | None:
    listen = {str(each) for each in config.box.listen}
    wanted = dict.fromkeys(config.blobs.address.v4, "0.0.0.0")  # noqa: S104  # Compared only.
    wanted |= dict.fromkeys(config.blobs.address.v6, "::")
    for address, wildcard in wanted.items() if listen else ():
        if not listen & {address, wildcard}:
            return f"{address} is not in box.listen: nobody would answer there"
    return None


def _origin_is_private(config: Sections) -> str | None:
    host = urlsplit(config.origin.url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if config.origin.allow_private or address.is_global:
        return None
    return f"{host} is not a public address: set origin.allow_private = true if it is meant"


ERRORS = (
    Rule(("tls.port", "web.ports", "dns.port", "proxy.port"), _shared_port),
    Rule(("blobs.host", "origin.name"), _blob_host_is_origin),
    Rule(("origin.name",), _never_intercepted),
    Rule(("box.state_dir",), _state_dir_is_no_directory),
    Rule(("box.mount_point", "box.state_dir"), _mount_point_elsewhere),
    Rule(("origin.ca_file",), _ca_file_unfit),
    Rule(("dns.upstream", "box.listen", "box.address", "dns.port"), _upstream_is_the_box),
    Rule(("blobs.address", "box.listen"), _blob_address_not_listened_at),
    Rule(("origin.url", "origin.allow_private"), _origin_is_private),
)


def _plain_only(config: Sections) -> str | None:
    if config.blobs.delivery != "plain":
        return None
    version = ".".join(map(str, config.blobs.refuse_private_from))
    return f"Ollama {version} and newer cannot pull over https: they refuse a plain http URL"


def _unencrypted_origin(config: Sections) -> str | None:
    if not config.origin.url.startswith("http://"):
        return None
    unused = "; origin.ca_file is not used" if config.origin.ca_file is not None else ""
    return f"whoever is between the box and the origin can change manifests{unused}"


def _private_answers(config: Sections) -> str | None:
    host = urlsplit(config.origin.url).hostname
    if config.origin.allow_private and host == config.origin.name:
        return "not needed for a public registry, and lets its answers point into your network"
    return None


def _dns_port_unusual(config: Sections) -> str | None:
    if config.dns.enabled and config.dns.port != 53:
        return "clients ask on 53 only: something must forward that port here"
    return None


def _tls_port_unusual(config: Sections) -> str | None:
    if config.tls.port != 443:
        return "clients connect to 443 only: something must forward that port here"
    return None


def _no_port_80(config: Sections) -> str | None:
    if 80 not in config.web.ports:
        return (
            "without port 80, `ollama pull --insecure` of plain model names does not reach the box"
        )
    return None


WARNINGS = (
    Rule(("blobs.delivery",), _plain_only),
    Rule(("origin.url",), _unencrypted_origin),
    Rule(("origin.allow_private",), _private_answers),
    Rule(("dns.port",), _dns_port_unusual),
    Rule(("tls.port",), _tls_port_unusual),
    Rule(("web.ports",), _no_port_80),
)
