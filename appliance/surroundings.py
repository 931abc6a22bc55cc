"""The network around the box, as it is now: its own addresses, and who counts as local."""

import logging
import time
from collections.abc import Callable, Sequence

from appliance.policy.addresses import (
    Interface,
    Network,
    choose_addresses,
    is_allowed,
    local_networks,
    parse_address,
)

LOOK_SECONDS = 5.0  # Between two looks: prefixes change daily at most, requests come by the 1,000.

_log = logging.getLogger("box")


class Surroundings:
    """Looks at the interfaces now and then. `configured` is `box.address`, "" where not set."""

    def __init__(
        self,
        read_interfaces: Callable[[], tuple[Interface, ...]],
        *,
        allow: Sequence[Network],
        configured: str,
    ) -> None:
        self._read_interfaces = read_interfaces
        self._allow = tuple(allow)
        self._configured = configured
        self._looked_at = float("-inf")
        self._interfaces: tuple[Interface, ...] = ()
        self._networks: tuple[Network, ...] = ()
        self._own: frozenset[str] = frozenset()

    def own_addresses(self) -> frozenset[str]:
        """Every address of this machine, loopback included, without scopes."""
        self._look()
        return self._own

    def interfaces(self) -> tuple[Interface, ...]:
        """The machine's interfaces, as they were a moment ago."""
        self._look()
        return self._interfaces

    def is_allowed(self, address: str) -> bool:
        """Whether a client at `address` may use the box; the box itself always may."""
        self._look()
        try:
            return is_allowed(address, self._networks) or self.is_own(address)
        except ValueError:
            return False  # No address at all: the socket is gone.

    def is_own(self, address: str) -> bool:
        """Whether `address` is this machine's."""
        self._look()
        try:
            return str(parse_address(address)) in self._own
        except ValueError:
            return False

    def networks(self) -> tuple[str, ...]:
        """The networks that may use the box, its own addresses included, as text."""
        self._look()
        return (*map(str, self._networks), *sorted(self._own))

    def dialled_addresses(self) -> tuple[str, ...]:
        """The box's addresses as its clients dial them, the likeliest first; perhaps none."""
        if self._configured:
            return (self._configured,)
        self._look()
        outward = [each for each in self._interfaces if not each.is_loopback]
        own = sorted(str(parse_address(text)) for each in outward for text in each.texts)
        found = [choose_addresses(each, outward) for each in own]
        return tuple(dict.fromkeys(each for pair in found for each in (*pair.v4, *pair.v6)))

    def _look(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        try:
            self._interfaces = self._read_interfaces()
        except OSError as error:
            if not self._interfaces:
                raise
            _log.warning("the interfaces cannot be read, they count as they were: %s", error)
        self._looked_at = time.monotonic()
        self._networks = self._allow or local_networks(self._interfaces)
        texts = (text for each in self._interfaces for text in each.texts)
        self._own = frozenset(str(parse_address(text)) for text in texts)
