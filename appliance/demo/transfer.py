"""One attempt at one part: a ranged GET, its bytes left where they belong in the file."""

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from appliance.demo.deposit import Deposit
from appliance.demo.habits import Habits
from appliance.demo.lifeline import Lifeline
from appliance.demo.parts import Part
from appliance.demo.targets import Targets
from appliance.demo.urls import Url, WireError
from appliance.demo.wire import REDIRECT_STATUSES, REDIRECTS_MAX, USER_AGENT, receive_into
from appliance.protocol.ranges import Span, format_range

BUFFER_SIZE_BYTES = 256 * 1024  # Large enough that writing costs nothing beside receiving.


@dataclass(slots=True)
class Tally:
    """What all attempts at a part took together. `running_bytes` is the present one's."""

    received_bytes: int = 0
    running_bytes: int = 0
    longest_silence_seconds: float = 0.0
    retries: int = 0
    stalls: int = 0

    def heard(self, received_bytes: int, silent_seconds: float) -> None:
        """Count bytes that came after a silence; 0 bytes where the silence was all."""
        self.received_bytes += received_bytes
        self.longest_silence_seconds = max(self.longest_silence_seconds, silent_seconds)


@dataclass(frozen=True, slots=True)
class Means:
    """What an attempt needs of the pull that it belongs to."""

    targets: Targets
    habits: Habits
    lifeline: Lifeline
    wrote: Callable[[], None]  # Told after every write.
    fields: Mapping[str, str] = field(default_factory=lambda: {"User-Agent": USER_AGENT})
    minds_status: bool = False  # Most releases look at no part's status.

    @property
    def stall_seconds(self) -> float:
        return self.habits.watched(self.habits.stall_seconds)


def fetch_part(url: Url, part: Part, deposit: Deposit, tally: Tally, means: Means) -> None:
    """Fetch what `part` still misses; whatever the status, as long as the bytes are enough.

    `tally.running_bytes` says afterwards, also after a failure, how many came to the file.

    Raises:
        StalledError: nothing came for as long as the client waits.
        UnexpectedEofError: the body broke off before its announced end.
        WireError: anything else, too short a body among it.
    """
    tally.running_bytes = 0
    asked_at = time.monotonic()
    with ExitStack() as held:
        try:
            response, connection = _open(url, part, means, held)
        finally:
            tally.heard(0, time.monotonic() - asked_at)
        _copy(response, connection, _Sink(part, deposit, tally, means), asked_at)


def _open(
    url: Url, part: Part, means: Means, held: ExitStack
) -> tuple[http.client.HTTPResponse, socket.socket]:
    fields = {**means.fields, "Range": format_range(Span(part.start, part.stop))}
    for _ in range(REDIRECTS_MAX + 1):
        connection = means.targets.dial(url)
        held.enter_context(means.lifeline.holding(connection.socket))
        is_watched = means.habits.watches_first_byte
        connection.socket.settimeout(means.stall_seconds if is_watched else None)
        response = connection.ask("GET", url, fields)
        held.callback(response.close)
        location = response.getheader("Location")
        if response.status not in REDIRECT_STATUSES or location is None:
            if means.minds_status and response.status >= 400:
                raise WireError(f"{response.status}: ")
            return response, connection.socket
        url, left = url.join(location), url.hostname
        if url.hostname != left:
            fields.pop("Authorization", None)  # Go tells a token to its own host only.
    raise WireError(f"stopped after {REDIRECTS_MAX} redirects")


class _Sink:
    """Gathers what comes into one buffer and writes it when full."""

    def __init__(self, part: Part, deposit: Deposit, tally: Tally, means: Means) -> None:
        self._deposit = deposit
        self._means = means
        self._buffer = memoryview(bytearray(min(BUFFER_SIZE_BYTES, part.stop - part.start)))
        self._filled = 0
        self._position = part.start
        self._stop = part.stop
        self.tally = tally

    @property
    def stall_seconds(self) -> float:
        return self._means.stall_seconds

    @property
    def is_satisfied(self) -> bool:
        return self._position + self._filled == self._stop

    @property
    def room(self) -> memoryview:
        """Where the next bytes go; never more than are still wanted."""
        wanted = self._stop - self._position - self._filled
        return self._buffer[self._filled : self._filled + wanted]

    def took(self, count: int) -> None:
        self._filled += count
        if self._filled == len(self._buffer):
            self.flush()

    def flush(self) -> None:
        self._deposit.take(self._buffer[: self._filled], self._position)
        self._position += self._filled
        self.tally.running_bytes += self._filled
        self._filled = 0
        self._means.wrote()


def _copy(
    response: http.client.HTTPResponse, connection: socket.socket, sink: _Sink, asked_at: float
) -> None:
    waiting_since, is_first = asked_at, True
    try:
        while not sink.is_satisfied:
            count = 0
            try:
                count = receive_into(response, sink.room)
            finally:
                sink.tally.heard(count, time.monotonic() - waiting_since)
            if count == 0:
                raise WireError("EOF")
            if is_first:
                connection.settimeout(sink.stall_seconds)
                is_first = False
            sink.took(count)
            waiting_since = time.monotonic()
    finally:
        sink.flush()
