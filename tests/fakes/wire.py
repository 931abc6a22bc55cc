"""HTTP by hand: raw bytes to a door, a strict reading of what it answers, and a raw origin."""

import asyncio
import contextlib
import itertools
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [\x20-\x7e]*\r\n")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*?)[ \t]*\r\n")

PATIENCE_SECONDS = 8.0  # A door that hangs is a failure: less than its own ten seconds for heads.
DRIP_SECONDS = 0.005  # Often within the deadline of a test's own.


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response. `is_cut`: its body ended before its Content-Length."""

    status: int
    fields: dict[str, str]
    body: bytes
    is_cut: bool = False


class Wire:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, content: bytes) -> None:
        self.writer.write(content)

    async def ask(self, content: bytes) -> Answer:
        """Send a request and read its response."""
        self.send(content)
        answer = await self.answer(is_head=content.startswith(b"HEAD "))
        assert answer is not None, "the connection was closed without an answer"
        return answer

    async def answer(self, *, is_head: bool = False) -> Answer | None:
        """Read a response that is valid HTTP/1; None where the connection closes instead."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                line = await self.reader.readuntil(b"\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    raise
                return None
            except OSError:  # A reset.
                return None
            status = _STATUS_LINE.fullmatch(line)
            assert status is not None, f"no status line: {line!r}"
            fields = await self._fields()
            if is_head or status[1] in (b"204", b"304"):
                return Answer(int(status[1]), fields, b"")
            body, is_cut = await self._body(fields)
            return Answer(int(status[1]), fields, body, is_cut)

    async def rest(self) -> bytes:
        """Everything until the door closes the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read()
            except OSError:  # A reset: closed, too.
                return b""

    async def drip(self, content: bytes) -> Answer | None:
        """Send `content` over and over, byte by byte, until the door has had enough."""
        async with asyncio.TaskGroup() as group:
            dripping = group.create_task(self._drip(content))
            answer = await self.answer()
            assert answer is None or await self.rest() == b""
            dripping.cancel()
        return answer

    async def _drip(self, content: bytes) -> None:
        with contextlib.suppress(OSError):
            for each in itertools.cycle(content):
                self.send(bytes([each]))
                await self.writer.drain()
                await asyncio.sleep(DRIP_SECONDS)

    async def answers(self) -> list[Answer]:
        """Every response until the door closes the connection."""
        found = []
        while (answer := await self.answer()) is not None:
            found.append(answer)
        return found

    async def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            match = _FIELD_LINE.fullmatch(line)
            assert match is not None, f"no field line: {line!r}"
            name = match[1].decode().title()
            assert name not in fields or name not in ("Content-Length", "Location"), "said twice"
            fields[name] = match[2].decode()
        return fields

    async def _body(self, fields: dict[str, str]) -> tuple[bytes, bool]:
        if "Transfer-Encoding" in fields:
            assert "Content-Length" not in fields, "framed in two ways"
            return await self._chunks(), False
        if "Content-Length" not in fields:
            return await self.reader.read(), False
        try:
            return await self.reader.readexactly(int(fields["Content-Length"])), False
        except asyncio.IncompleteReadError as error:
            return error.partial, True

    async def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        assert await self.reader.readuntil(b"\r\n") == b"\r\n"
        return bytes(body)


@asynccontextmanager
async def dial(
    port: int, *, trusted: ssl.SSLContext | None = None, name: str | None = None
) -> AsyncIterator[Wire]:
    """Connect to a door on loopback, by TLS where `trusted` is given."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=trusted, server_hostname=name, limit=1 << 20
    )
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@dataclass
class Recorded:
    """A request as it came to the origin: its head and its body, byte for byte."""

    head: bytes
    body: bytes = b""
    body_size_bytes: int = 0

    @property
    def lines(self) -> list[bytes]:
        return self.head.removesuffix(b"\r\n\r\n").split(b"\r\n")

    def values(self, name: str) -> list[str]:
        """The values of a field, in order."""
        wanted = name.lower().encode()
        pairs = (line.partition(b":") for line in self.lines[1:])
        return [value.strip().decode() for key, _, value in pairs if key.lower() == wanted]


NOTHING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@dataclass
class RawOrigin:
    """A server that writes down what comes and answers `response`; bodies over 1 MiB are counted.

    `interrupt`, where set, takes over a connection once a request's head is read.
    """

    response: bytes = NOTHING
    requests: list[Recorded] = field(default_factory=list)
    connection_count: int = 0
    connects: list[bytes] = field(default_factory=list)  # What was asked of it as a proxy.
    interrupt: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None
    port: int = 0
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def serve(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["RawOrigin"]:
        """Listen on a free port of loopback."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            await server.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection_count += 1
        self._writers.append(writer)
        try:
            while True:
                request = Recorded(await reader.readuntil(b"\r\n\r\n"))
                self.requests.append(request)
                if self.interrupt is not None:
                    await self.interrupt(reader, writer)
                    return
                await _read_body(reader, request)
                writer.write(self.response)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            writer.close()


async def _read_body(reader: asyncio.StreamReader, request: Recorded) -> None:
    if request.values("Transfer-Encoding"):
        while size := int((line := await reader.readuntil(b"\r\n")), 16):
            _note(request, (await reader.readexactly(size + 2))[:-2])
        assert line == b"0\r\n"
        await reader.readuntil(b"\r\n")
        return
    left = int((request.values("Content-Length") or ["0"])[0])
    while left:
        chunk = await reader.read(min(left, 1 << 16))
        if not chunk:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(chunk)
        _note(request, chunk)


def _note(request: Recorded, chunk: bytes) -> None:
    request.body_size_bytes += len(chunk)
    if request.body_size_bytes <= 1 << 20:
        request.body += chunk
