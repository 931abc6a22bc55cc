"""The worker's end of its lines: the box's registry, as if it were here."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable

from appliance.protocol.ranges import Span
from appliance.registry.requests import Answer, BlobAnswer, PassThrough, Reply, Request
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.source import OriginUnreachableError
from appliance.workers.lines import Line, LineGoneError, Message
from appliance.workers.words import BlobHead, Words, format_request, parse_blob_head

LINES_IDLE_MAX = 64  # Kept for the next requests; each is a descriptor here and one in the box.


class RemoteRegistry:
    """Asks the box. `open_line` opens a line to it; lines that are free are used again."""

    def __init__(self, open_line: Callable[[], Awaitable[Line]]) -> None:
        self._open_line = open_line
        self._idle: list[Line] = []

    async def answer(self, request: Request) -> Reply:
        """The box's reply. Raises LineGoneError where the box failed at it."""
        line, head = await self._ask(format_request(request))
        try:
            if "blob" in head.words:
                told = parse_blob_head(head.words)
                reader = RemoteReader(line, told, head.fd)
                return BlobAnswer(told.status, told.fields, reader)
            answer = PassThrough() if "pass" in head.words else await _read_answer(line, head)
        except BaseException:
            line.close()
            raise
        self._keep(line)
        return answer

    async def resolve(self, name: str) -> tuple[str, ...]:
        """The name's checked addresses, as the box finds them. Raises NameUnresolvableError."""
        line, found = await self._ask({"resolve": name})
        self._keep(line)
        if "addresses" in found.words:
            return tuple(found.words["addresses"])
        raise _ToldUnresolvableError(found.words["unresolved"], found.words["hint"])

    def close(self) -> None:
        """Close the lines that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    async def _ask(self, words: Words) -> tuple[Line, Message]:
        line = self._idle.pop() if self._idle else await self._open_line()
        try:
            await line.send(words)
            return line, await line.receive()
        except BaseException:
            line.close()
            raise

    def _keep(self, line: Line) -> None:
        if len(self._idle) < LINES_IDLE_MAX:
            self._idle.append(line)
        else:
            line.close()


class _ToldUnresolvableError(NameUnresolvableError):
    """In the box's own words, whatever kept it from an address."""

    def __init__(self, told: str, hint: str) -> None:
        Exception.__init__(self, told)
        self.hint = hint


def _nothing() -> None: ...


async def _read_answer(line: Line, head: Message) -> Answer:
    pieces, missing = [head.content], head.words["size"] - len(head.content)
    while missing > 0:
        pieces.append((await line.receive()).content)
        missing -= len(pieces[-1])
    return Answer(head.words["answer"], head.words["fields"], b"".join(pieces))


class RemoteReader:
    """A reader whose other half is in the box. Owns its line, and its descriptor of the file."""

    def __init__(self, line: Line, head: BlobHead, file_fd: int | None) -> None:
        self.span = head.span
        self.size_bytes = head.size_bytes
        self.status = head.cache_status
        self.file_fd = file_fd
        self._line = line
        self._is_streamable = head.is_streamable
        self._untold_bytes = 0
        self._cut: Callable[[], None] = _nothing

    def on_spoilt(self, cut: Callable[[], None]) -> None:
        self._cut = cut

    async def spans(self) -> AsyncIterator[Span]:
        try:
            while "span" in (told := (await self._line.receive()).words):
                yield Span(*told["span"])
        except LineGoneError:
            return  # The box is gone: the body ends early.
        if "spoilt" in told:
            self._cut()
            return
        self._is_streamable = told["end"]
        self._line.watch(self._hear)

    def _hear(self) -> None:
        """After the last span the box says one thing at most: that they are wrong; or it goes."""
        self._line.unwatch()
        self._cut()

    def is_streamable(self) -> bool:
        return self._is_streamable

    async def chunks(self, start: int) -> AsyncIterator[bytes]:
        self._line.unwatch()
        try:
            await self._line.send({"stream": start})
            while "over" not in (came := await self._line.receive()).words:
                if "broken" in came.words:
                    raise OriginUnreachableError(came.words["broken"])
                if "chunk" in came.words:  # Of spans that were not asked for the end may come, too.
                    yield came.content
        except LineGoneError as error:
            raise OriginUnreachableError("the box is gone") from error

    def note_sent(self, sent_bytes: int) -> None:
        self._untold_bytes += sent_bytes
        if self._untold_bytes and self._line.tell({"sent": self._untold_bytes}):
            self._untold_bytes = 0

    def close(self) -> None:
        self.note_sent(0)
        self._line.unwatch()
        self._line.close()
        if self.file_fd is not None:
            os.close(self.file_fd)
            self.file_fd = None
