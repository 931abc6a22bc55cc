"""A reader: one client response that follows a span of a blob, held, arriving or passed by.

A reader hands out spans of a file as they become readable; who sends them (a pump) never learns
whether they were on disk for years or landed this millisecond.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from appliance.cache.fill import Fill, FillRestsError
from appliance.cache.tally import Count, Tally
from appliance.protocol.digest import Digest
from appliance.protocol.fields import CacheStatus
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Repository
from appliance.store.faults import DigestMismatchError, StoreError
from appliance.upstream.source import Source


class Reader(Protocol):
    """What a door needs in order to send a span of a blob. The door closes it."""

    span: Span
    size_bytes: int  # Of the whole blob.
    status: CacheStatus
    file_fd: int | None  # None: nothing comes from a file.

    def spans(self) -> AsyncIterator[Span]:
        """Spans of the file behind `file_fd`, in order, as they become readable.

        Ends early where a fill fails.
        """
        ...

    def is_streamable(self) -> bool:
        """Whether `chunks` may be used for what `spans` left out."""
        ...

    def chunks(self, start: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to the end of the span, straight from the source, not stored."""
        ...

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        """Have `cut` called once the bytes of the file are known to be wrong: send no more."""
        ...

    def note_sent(self, sent_bytes: int) -> None:
        """Count bytes that went out to the client. Any thread may call this."""
        ...

    def close(self) -> None: ...


def _nothing() -> None: ...


class _FileReader:
    """Owns a descriptor of its own, so that nothing that happens to the blob takes it away."""

    def __init__(
        self, span: Span, size_bytes: int, status: CacheStatus, file_fd: int, tally: Tally
    ) -> None:
        self._tally = tally
        self.span = span
        self.size_bytes = size_bytes
        self.status = status
        self.file_fd: int | None = file_fd

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        """Bytes that arrive are judged when all are there."""

    def note_sent(self, sent_bytes: int) -> None:
        self._tally.add(Count.SERVED_BYTES, sent_bytes)

    def close(self) -> None:
        if self.file_fd is not None:
            os.close(self.file_fd)
            self.file_fd = None


class HeldReader(_FileReader):
    """A span of a complete blob. Takes ownership of `file_fd`."""

    def __init__(
        self, digest: Digest, span: Span, size_bytes: int, file_fd: int, tally: Tally
    ) -> None:
        super().__init__(span, size_bytes, CacheStatus.HIT, file_fd, tally)
        self.digest = digest
        self._is_spoilt = False
        self._cut: Callable[[], None] = _nothing

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        if self._is_spoilt:
            cut()

    def spoil(self) -> None:
        """Tell whoever sends the span, once, that its bytes are wrong."""
        if not self._is_spoilt:
            self._is_spoilt = True
            self._cut()

    async def spans(self) -> AsyncIterator[Span]:
        yield self.span

    def is_streamable(self) -> bool:
        return False

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        raise AssertionError("a complete blob is never streamed")
        yield b""


class StreamReader:
    """A span that goes past the store: there is no room for its blob."""

    file_fd: int | None = None
    status = CacheStatus.UNCACHED

    def __init__(
        self,
        source: Source,
        repository: Repository,
        digest: Digest,
        span: Span,
        size_bytes: int,
        tally: Tally,
        turns: asyncio.Semaphore,
    ) -> None:
        """`turns` are shared by all that goes past the store: each has a connection and buffers."""
        self.span = span
        self.size_bytes = size_bytes
        self._turns = turns
        self._source = source
        self._repository = repository
        self._digest = digest
        self._tally = tally

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        """Nothing comes from a file."""

    def note_sent(self, sent_bytes: int) -> None:
        self._tally.add(Count.SERVED_BYTES, sent_bytes)

    async def spans(self) -> AsyncIterator[Span]:
        return
        yield self.span

    def is_streamable(self) -> bool:
        return True

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        span = Span(start, self.span.stop)
        self._tally.add(Count.UNCACHED)
        opened = self._source.open_span(self._repository, self._digest, span, self.size_bytes)
        async with self._turns, opened as chunks:
            async for chunk in chunks:
                self._tally.add(Count.FETCHED_BYTES, len(chunk))
                yield bytes(chunk)  # Whoever sends it may keep it for a while.

    def close(self) -> None:
        """Nothing is held open between two calls."""


class FillReader(_FileReader):
    """A span of a blob that still arrives; past the store for the rest, should it fill up."""

    def __init__(
        self,
        fill: Fill,
        rest: StreamReader,
        status: CacheStatus,
        tally: Tally,
        *,
        is_client: bool = True,
    ) -> None:
        super().__init__(rest.span, rest.size_bytes, status, os.dup(fill.file_fd), tally)
        self._following = fill.follow(rest.span, is_client=is_client)
        self._fill = fill
        self._rest = rest

    @property
    def fault(self) -> Exception | None:
        return self._fill.fault

    async def spans(self) -> AsyncIterator[Span]:
        while (span := await self._fill.read_on(self._following)) is not None:
            yield span

    def close(self) -> None:
        self._fill.unfollow(self._following)
        super().close()

    def is_streamable(self) -> bool:
        """Only where the disk failed, or the fill came to rest the moment before this reader came.

        Wrong bytes, and an origin that is away, stay what they are.
        """
        fault = self._fill.fault
        return isinstance(fault, StoreError | OSError | FillRestsError) and not isinstance(
            fault, DigestMismatchError
        )

    def chunks(self, start: int) -> AsyncIterator[bytes]:
        return self._rest.chunks(start)
