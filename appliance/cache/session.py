"""A session: one client that pulls one model, as far as the box sees it.

Theory of operation. A client says what it pulls by asking for the manifest, and then asks for
spans of blobs, many at once and some again. What went out counts twice: as bytes (each that left
the box), and as what the client now has of each blob (no byte twice), which is its progress. A
client that had a blob before never asks for it, so a session is done when all that it asked for is
out and it asks no more.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import Digest
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Reference, Repository

SPEED_SECONDS = 5  # Speed is that of so many seconds: shorter, and it flickers.
STALLED_SECONDS = 10.0  # No byte for so long is worth a word.
SETTLED_SECONDS = 10.0  # Between two blobs Ollama asks at once; so long after the last it is done.
LEFT_SECONDS = 45.0  # Ollama's longest pause between two tries of one part is 32 seconds.


class State(StrEnum):
    """How a session is. The values are what scripts read."""

    ACTIVE = "active"
    STALLED = "stalled"  # It has asked, and takes or gets nothing.
    DONE = "done"
    LEFT = "left"  # It went before it had all that it asked for.

    @property
    def is_over(self) -> bool:
        return self in (State.DONE, State.LEFT)


class Supply(IntEnum):
    """Where a session's bytes come from, in the order of what they cost."""

    CACHE = 0
    WAITING = 1  # For a download that another client's pull began.
    INTERNET = 2

    @property
    def word(self) -> str:
        """What scripts read."""
        return self.name.lower()


@dataclass(slots=True, eq=False)
class Transfer:
    """One body on its way to the client. Only whoever sends it writes `sent_bytes`."""

    digest: Digest
    size_bytes: int  # Of the whole blob.
    start: int
    supply: Supply
    sent_bytes: int = 0

    def span(self) -> Span | None:
        """What of the blob is out, if anything."""
        sent = self.sent_bytes
        return Span(self.start, self.start + sent) if sent else None


@dataclass(slots=True, eq=False)
class Session:
    """A pull. `blobs` are those that its manifest lists, none where it is not known.

    `started_at` is in seconds since the epoch, all else by a clock that never turns back.
    """

    client_address: str
    repository: Repository
    reference: Reference | None
    blobs: Mapping[Digest, int]
    started_at: float
    began: float
    state: State = State.ACTIVE
    supply: Supply = Supply.CACHE
    ended: float | None = None
    number: int = 0  # Which one it is, since the start.
    saved_bytes: int = 0  # Of those sent, how many the client's account has.
    _live: set[Transfer] = field(default_factory=set)
    _drawn: Counter[tuple[Digest | None, Supply]] = field(default_factory=Counter)
    _covered: dict[Digest, SpanSet] = field(default_factory=dict)
    _sizes: dict[Digest, int] = field(default_factory=dict)  # Of what was asked for.
    _whole: set[Digest] = field(default_factory=set)
    _sent_before_bytes: int = 0  # By transfers that are over.
    _samples: deque[tuple[float, int]] = field(
        default_factory=lambda: deque(maxlen=SPEED_SECONDS + 1)
    )
    _moved: float = 0.0
    _supplies: set[Supply] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._moved = self.began
        self._samples.append((self.began, 0))

    def begin(self, transfer: Transfer, now: float) -> None:
        """A body is about to leave."""
        self._live.add(transfer)
        self._draw(transfer, 1)
        self._sizes[transfer.digest] = transfer.size_bytes
        self.state, self.ended, self._moved = State.ACTIVE, None, now
        self._choose_supply()

    def end(self, transfer: Transfer, now: float) -> None:
        """It is out, or cut short. To be said once."""
        self._live.discard(transfer)
        self._draw(transfer, -1)
        self._sent_before_bytes += transfer.sent_bytes
        self._moved = now
        digest, span = transfer.digest, transfer.span()
        if span is None or digest in self._whole:
            return
        covered = self._covered.setdefault(digest, SpanSet())
        covered.add(span)
        if covered.size_bytes == transfer.size_bytes:
            self._whole.add(digest)
            del self._covered[digest]

    def look(self, now: float) -> None:
        """Judge how it goes; to be called once a second."""
        sent_bytes = self.sent_bytes
        if self._live and sent_bytes != self._samples[-1][1]:
            self._moved = now
        self._samples.append((now, sent_bytes))
        self._choose_supply()
        self.state = self._judge(now - self._moved)
        if self.state.is_over:
            self.supply = max((self.supply, *self._supplies))
            self.ended = now if self.ended is None else self.ended

    def close(self, now: float) -> None:
        """Nobody will look at it any more."""
        if not self.state.is_over:
            self.state = State.DONE if self.has_all_it_asked else State.LEFT
            self.ended = now

    def downloads(self, digest: Digest) -> Supply | None:
        """How it draws on a download of that blob at the moment, if it does."""
        kinds = (Supply.INTERNET, Supply.WAITING)
        return next((each for each in kinds if self._drawn[digest, each]), None)

    @property
    def has_all_it_asked(self) -> bool:
        return not self._live and set(self._sizes) <= self._whole

    @property
    def sent_bytes(self) -> int:
        """Bytes that left the box for this client, also those that it asked for twice."""
        return self._sent_before_bytes + sum(each.sent_bytes for each in self._live)

    @property
    def files_served(self) -> int:
        """Blobs that it has whole."""
        return len(self._whole)

    @property
    def files_total(self) -> int:
        return len({*self.blobs, *self._sizes})

    @property
    def total_bytes(self) -> int:
        """Of the model; once it is over, of what was asked for."""
        if self.state is State.DONE:
            return sum(self._sizes.values())
        return sum({**self._sizes, **self.blobs}.values())

    @property
    def covered_bytes(self) -> int:
        """What it has got of its blobs, no byte counted twice."""
        return sum(self._sizes[each] for each in self._whole) + sum(
            covered.size_bytes for covered in self._cover().values()
        )

    @property
    def progress(self) -> float:
        """0 to 1."""
        total_bytes = self.total_bytes
        return self.covered_bytes / total_bytes if total_bytes else 1.0

    @property
    def bytes_per_second(self) -> float:
        """Lately; 0 once it is over."""
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        if self.state.is_over or until <= since:
            return 0.0
        return (after - before) / (until - since)

    @property
    def eta_seconds(self) -> int | None:
        """None where nothing moves, so that nobody can tell."""
        speed = self.bytes_per_second
        if self.state.is_over or not speed:
            return None
        return math.ceil((self.total_bytes - self.covered_bytes) / speed)

    def _cover(self) -> dict[Digest, SpanSet]:
        found = dict(self._covered)
        for each in self._live:
            span = each.span()
            if span is not None and each.digest not in self._whole:
                found[each.digest] = found.get(each.digest, SpanSet()).plus(span)
        return found

    def _judge(self, quiet_seconds: float) -> State:
        if self._live:
            return State.STALLED if quiet_seconds >= STALLED_SECONDS else State.ACTIVE
        if self.has_all_it_asked:
            is_all = bool(self.blobs) and set(self.blobs) <= self._whole
            return State.DONE if is_all or quiet_seconds >= SETTLED_SECONDS else State.ACTIVE
        if quiet_seconds >= LEFT_SECONDS:
            return State.LEFT
        return State.STALLED if quiet_seconds >= STALLED_SECONDS else State.ACTIVE

    def _choose_supply(self) -> None:
        if self._live:
            self.supply = max(each for each in Supply if self._drawn[None, each])
            self._supplies.add(self.supply)

    def _draw(self, transfer: Transfer, count: int) -> None:
        """Count the live ones of each kind, of one blob and of all: a class has hundreds."""
        self._drawn[transfer.digest, transfer.supply] += count
        self._drawn[None, transfer.supply] += count
