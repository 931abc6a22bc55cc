"""Who asks our DNS, and for whom: evidence that a client finds the names that only we answer.

Theory of operation. A client that asked our DNS itself finds them. One that did not may be behind
somebody who asks for others: a router that passes questions on, and never comes to the registry's
doors. One that does come asked for itself, and says nothing about others: on that network another
DNS may know the registry's name alone, which an operator typed there, and not the blob host's. Only
of the other family's addresses nobody can tell whose they are: who asks by IPv4 often dials by
IPv6.
"""

KNOWN_SECONDS = 3600.0  # How long a question shows whom its asker asks.
ADDRESSES_MAX = 4096  # More than any LAN this is for; the oldest is forgotten.


class Askers:
    """What is known of who asked and who came. Instants in seconds, of any one clock."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._came: dict[str, float] = {}

    def note_question(self, address: str, now: float) -> None:
        """Our DNS led `address` here."""
        _note(self._asked, address, now)

    def note_visit(self, address: str, now: float) -> None:
        """`address` came to one of the registry's doors."""
        _note(self._came, address, now)

    def find_our_names(self, address: str, now: float) -> bool:
        """Whether a client at `address` surely finds names that only our DNS answers."""
        if _is_fresh(self._asked.get(address), now):
            return True
        return any(
            _is_fresh(at, now) and self._speaks_for_others(asker, address, now)
            for asker, at in self._asked.items()
        )

    def _speaks_for_others(self, asker: str, address: str, now: float) -> bool:
        is_other_family = (":" in asker) != (":" in address)
        return is_other_family or not _is_fresh(self._came.get(asker), now)

    def are_there(self, now: float) -> bool:
        """Whether anybody asked lately."""
        return any(_is_fresh(at, now) for at in self._asked.values())


def _note(noted: dict[str, float], address: str, now: float) -> None:
    noted.pop(address, None)
    noted[address] = now
    if len(noted) > ADDRESSES_MAX:
        del noted[next(iter(noted))]


def _is_fresh(at: float | None, now: float) -> bool:
    return at is not None and now - at <= KNOWN_SECONDS
