"""Every configuration key: its section, its default, its unit, what it does and why.

appliance.conf says the same to people; a test holds the two together, word for word. A key's `unit`
serves three ends: the manual prints it, an error quotes it, and whoever reads this sees it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

from appliance.config.declaring import Key
from appliance.config.doors import Access, Box, Dns, Proxy, Tls, Web
from appliance.config.supply import Blobs, Cache, Origin


@dataclass(frozen=True, slots=True)
class Sections:
    """All of them, in the manual's order."""

    box: Box = field(default_factory=Box)
    dns: Dns = field(default_factory=Dns)
    tls: Tls = field(default_factory=Tls)
    proxy: Proxy = field(default_factory=Proxy)
    web: Web = field(default_factory=Web)
    origin: Origin = field(default_factory=Origin)
    blobs: Blobs = field(default_factory=Blobs)
    cache: Cache = field(default_factory=Cache)
    access: Access = field(default_factory=Access)


def _declared(section: object) -> Mapping[str, Key]:
    assert is_dataclass(section)
    return {each.name: Key(name=each.name, **each.metadata) for each in fields(section)}


KEYS: Mapping[str, Mapping[str, Key]] = {
    each.name: _declared(getattr(Sections(), each.name)) for each in fields(Sections)
}
"""Section → key → declaration, in the manual's order."""
