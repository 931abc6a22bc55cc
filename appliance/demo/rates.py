"""How fast bytes may leave: token buckets that nobody can save up in.

*Theory of operation.* A bucket is the instant at which the bytes already sold will all have left.
Whoever wants to send buys first and waits until that instant; buyers queue without knowing of one
another. An instant that lies in the past is forgotten but for a small allowance, which covers a
late timer and is too small to be a burst.
"""

import asyncio
from collections.abc import Awaitable, Callable

ALLOWANCE_SECONDS = 0.05  # A busy event loop wakes this late; more would be a burst.
CHUNK_SIZE_BYTES_MAX = 256 * 1024  # Larger chunks cost no less CPU.
CHUNK_SIZE_BYTES_MIN = 1024
CHUNKS_PER_SECOND = 100  # A chunk every 10 ms looks like a steady stream to any client.


class Bucket:
    """Sells bytes at `bytes_per_second`; None is no limit."""

    def __init__(self, bytes_per_second: int | None) -> None:
        self.bytes_per_second = bytes_per_second
        self._sold_until = float("-inf")

    def buy(self, size_bytes: int, now: float) -> float:
        """Return the seconds to wait before sending `size_bytes`. `now` is monotonic."""
        if self.bytes_per_second is None:
            return 0.0
        start = max(self._sold_until, now - ALLOWANCE_SECONDS)
        self._sold_until = start + size_bytes / self.bytes_per_second
        return max(0.0, self._sold_until - now)

    @property
    def chunk_size_bytes(self) -> int:
        """How much to send at once so that the stream looks steady."""
        if self.bytes_per_second is None:
            return CHUNK_SIZE_BYTES_MAX
        steady = self.bytes_per_second // CHUNKS_PER_SECOND
        return max(CHUNK_SIZE_BYTES_MIN, min(CHUNK_SIZE_BYTES_MAX, steady))


class Line:
    """The Internet connection of the scripted registry: a total rate, and one for each transfer."""

    def __init__(
        self,
        total_bytes_per_second: int | None = None,
        connection_bytes_per_second: int | None = None,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._total = Bucket(total_bytes_per_second)
        self._clock = clock or asyncio.get_running_loop().time
        self._sleep = sleep
        self.connection_bytes_per_second = connection_bytes_per_second

    @property
    def total_bytes_per_second(self) -> int | None:
        return self._total.bytes_per_second

    @total_bytes_per_second.setter
    def total_bytes_per_second(self, bytes_per_second: int | None) -> None:
        self._total.bytes_per_second = bytes_per_second

    def open_transfer(self) -> "Transfer":
        """Begin a response body, which has the connection's rate to itself."""
        return Transfer(self)

    async def _wait(self, own: Bucket, size_bytes: int) -> None:
        now = self._clock()
        delay_seconds = max(own.buy(size_bytes, now), self._total.buy(size_bytes, now))
        if delay_seconds > 0:
            await self._sleep(delay_seconds)


class Transfer:
    """One response body on a Line."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._own = Bucket(line.connection_bytes_per_second)

    @property
    def chunk_size_bytes(self) -> int:
        return min(self._own.chunk_size_bytes, self._line._total.chunk_size_bytes)

    async def wait(self, size_bytes: int) -> None:
        """Wait until `size_bytes` may be sent."""
        await self._line._wait(self._own, size_bytes)
