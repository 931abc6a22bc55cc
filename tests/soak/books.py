"""What the box may have fetched, against what it did fetch: the soak's honest accounting.

Theory of operation. The lower bound is what ended up somewhere: every blob that the box completed,
each time that it did (it was let go of in between), every blob that was complete and wrong, and
what lies in the store unfinished at the end. Beyond a twentieth of that, bytes may have been lost
in four ways only, and each is bounded by what was seen to happen:

- a kill costs what came since spans were last recorded: the bytes of the last SYNC_SECONDS, read
  off the origin's own counter at the kill, and of the moment that a sync itself takes;
- a body that is cut has bytes in the sockets at both ends, as has every connection at a kill;
- a body that finds no room in the store streams past it, for its client alone: one part;
- clients whom the box sends on to the origin fetch for themselves. They say so by their User-Agent
  and are not counted at all.
"""

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from appliance.cache.fill import SYNC_SECONDS
from appliance.policy.waste import BUFFERED_BYTES_MAX

SHARE_MAX = 1.05
SYNCING_SECONDS = 1.0  # What a sync takes itself, while a dozen files are written.

_FILLED = re.compile(r"info cache: filled (sha256:[0-9a-f]{64}) \((\d+) bytes\)")
_RECORDED = re.compile(r"recovery: Recorded (sha256:[0-9a-f]{64})")
_ENDED = re.compile(r"warning cache: fill of (sha256:[0-9a-f]{64}) ended: (.*)")
_PAST = re.compile(r"warning cache: streaming (sha256:[0-9a-f]{64}) past the store")
# uvloop's own complaint of a TLS connection that was closed while it wrote: nobody's loss.
_CLOSED = re.compile(r" error asyncio: Fatal error on SSL protocol")
_TRACEBACK = re.compile(r"^\s*Traceback \(most recent call last\)")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the box's own log says of its fetching. `faults` are errors and tracebacks."""

    filled_bytes: int
    filled_count: int
    wrong_bytes: int
    wrong_count: int
    past_store_count: int
    ended: Counter[str]
    faults: list[str]


def read_log(lines: Iterable[str], sizes: dict[str, int]) -> Fetched:
    """Count what `lines` of all the box's lives tell; `sizes` are those of the origin's blobs."""
    filled, wrong = list[int](), list[int]()
    past_store_count = 0
    ended, faults = Counter[str](), list[str]()
    is_explained = False
    for line in lines:
        if match := _FILLED.search(line):
            filled += [int(match[2])] if match[1] in sizes else []
        elif (match := _RECORDED.search(line)) and match[1] in sizes:
            filled.append(sizes[match[1]])  # Committed, and killed before it was said.
        elif match := _ENDED.search(line):
            ended[_reason(match[2])] += 1
            wrong += [sizes[match[1]]] if "and the bytes are" in match[2] else []
        elif _PAST.search(line):
            past_store_count += 1
        elif _CLOSED.search(line):
            is_explained = True
        elif _TRACEBACK.match(line) and is_explained:
            is_explained = False
        elif " error " in line or _TRACEBACK.match(line):
            faults.append(line.strip())
    return Fetched(
        sum(filled), len(filled), sum(wrong), len(wrong), past_store_count, ended, faults
    )


def _reason(text: str) -> str:
    return re.sub(r"sha256:[0-9a-f]{64}|\d+", "…", text)[:120]


class Losses:
    """What the box was seen to lose, noted as it happens. `count` tells the origin's bytes."""

    def __init__(self, count: Callable[[], int], connections: int) -> None:
        self.killed_bytes = 0
        self._count = count
        self._connections = connections
        self._seen: deque[tuple[float, int]] = deque()

    def look(self) -> None:
        """Remember how many bytes have left the origin by now; to be called all the time."""
        now = time.monotonic()
        self._seen.append((now, self._count()))
        while self._seen and self._seen[0][0] < now - SYNC_SECONDS - SYNCING_SECONDS:
            self._seen.popleft()

    def note_kill(self) -> None:
        """Count what this kill may cost."""
        recent_bytes = self._count() - self._seen[0][1] if self._seen else self._count()
        self.killed_bytes += recent_bytes + self._connections * BUFFERED_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Balance:
    """The account. All in bytes."""

    fetched: int  # What left the origin for the box.
    needed: int  # The lower bound.
    killed: int
    cut: int
    past_store: int

    @property
    def allowed(self) -> int:
        return int(self.needed * SHARE_MAX) + self.killed + self.cut + self.past_store

    @property
    def is_balanced(self) -> bool:
        return self.fetched <= self.allowed
