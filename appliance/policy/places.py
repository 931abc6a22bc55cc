"""Where readers wait: many readers of one blob, folded into the few places they miss bytes at.

Theory of operation. A reader does not miss the byte it stands at but the first one from there that
is not held, so all readers that will run dry at one byte are one place, whether they stand there
already or still have bytes to read. Places that lie close together with nothing held between them
are joined: one run, from the first of them on, soon feeds them all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import inf

from appliance.policy.spans import SpanSet


@dataclass(slots=True, eq=False)
class Reader:
    """One client response and how far it has come. A plan only reads it."""

    position: int  # The next byte it needs.
    stop: int  # The end of its span.
    fed_at: float  # Monotonic seconds: when it was last given a byte, or came.


@dataclass(slots=True)  # Frozen ones are slow to make, and there may be hundreds.
class Place:
    """A byte that is missing, and what those who will need it first have."""

    start: int
    stop: int  # The furthest that one of its readers will go.
    ahead_bytes: int  # What the least provided reader has left to read before it gets here.
    fed_at: float  # Since when somebody stands here without bytes; infinity where nobody does.

    def add(self, stop: int, ahead_bytes: int, fed_at: float) -> None:
        """Have more readers."""
        self.stop = max(self.stop, stop)
        self.ahead_bytes = min(self.ahead_bytes, ahead_bytes)
        self.fed_at = min(self.fed_at, fed_at)

    def joined_with(self, other: "Place") -> "Place":
        """Return a place that starts here and has the readers of both."""
        joined = replace(self)
        joined.add(other.stop, other.ahead_bytes, other.fed_at)
        return joined


def find_places(readers: Iterable[Reader], held: SpanSet, size_bytes: int) -> list[Place]:
    """Return the places of all readers that still miss something, in ascending order."""
    found: dict[int, Place] = {}
    starts: dict[int, int] = {}  # A class is in step: hundreds stand at the same few bytes.
    for reader in readers:
        position, stop = reader.position, min(reader.stop, size_bytes)
        start = starts.get(position)
        if start is None:
            start = starts[position] = held.held_from(position)
        if start >= stop:
            continue
        ahead_bytes = start - position
        fed_at = inf if ahead_bytes else reader.fed_at
        place = found.get(start)
        if place is None:
            found[start] = Place(start, stop, ahead_bytes, fed_at)
        else:
            place.add(stop, ahead_bytes, fed_at)
    return [found[start] for start in sorted(found)]


def join_places(
    places: Iterable[Place], within_bytes: int, is_clear: Callable[[int, int], bool]
) -> list[Place]:
    """Join ascending places that one run soon reaches.

    `is_clear(start, stop)` tells whether one run could cross from the one place to the other.
    """
    joined: list[Place] = []
    for place in places:
        last = joined[-1] if joined else None
        is_near = last is not None and place.start - last.start <= within_bytes
        if last is not None and is_near and is_clear(last.start, place.start):
            joined[-1] = last.joined_with(place)
        else:
            joined.append(place)
    return joined
