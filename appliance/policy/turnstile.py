"""How many connections the box holds at once: of all clients together, and of each.

Theory of operation. Every door that takes TCP connections counts them here, as they come and go. A
connection past either bound is closed before a byte of it is read; those that are held lose
nothing. The box's own are always let in: a crowd must not fail its self-pull, for then DNS would
send everybody past the cache.
"""

from collections import Counter
from collections.abc import Callable

# Two classrooms of 200, of whom each fetches 16 parts at once. By TLS each takes some 50 KiB.
CONNECTIONS_MAX = 8192
# A quarter of them: a crowd behind one address still pulls, and no client shuts all others out.
SHARE = 4
DESCRIPTORS_SPARED = 256  # The index, DNS, the fills' files and their connections to the origin.
DESCRIPTORS_PER_CONNECTION = 3  # The socket, the pump's duplicate of it, and the blob's file.


class Turnstile:
    """Counts connections. `is_own` tells whether an address is this machine's."""

    def __init__(
        self, is_own: Callable[[str], bool], *, connections_max: int = CONNECTIONS_MAX
    ) -> None:
        self._is_own = is_own
        self._inside: Counter[str] = Counter()
        self._total = 0
        self.connections_max = connections_max
        self.connections_per_address_max = max(1, connections_max // SHARE)
        self.refused_count = 0

    def enter(self, address: str) -> bool:
        """Let a connection in; who is let in must `leave`."""
        is_full = (
            self._total >= self.connections_max
            or self._inside[address] >= self.connections_per_address_max
        )
        if is_full and not self._is_own(address):
            self._forget(address)
            self.refused_count += 1
            return False
        self._inside[address] += 1
        self._total += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was let in is gone."""
        assert self._inside[address] > 0, "it was let in"
        self._inside[address] -= 1
        self._total -= 1
        self._forget(address)

    @property
    def connection_count(self) -> int:
        """Connections inside now, the box's own included."""
        return self._total

    def _forget(self, address: str) -> None:
        if not self._inside[address]:
            del self._inside[address]


def choose_connections_max(descriptors: int) -> int:
    """How many connections a process may hold that can open so many files."""
    affordable = (descriptors - DESCRIPTORS_SPARED) // DESCRIPTORS_PER_CONNECTION
    return max(1, min(CONNECTIONS_MAX, affordable))
