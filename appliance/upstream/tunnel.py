"""Tunnels: bytes carried between a client and a server of the Internet, unread.

Theory of operation. The server is dialled at an address that was looked up past our own DNS and
checked, or through the office's proxy. Then two loops copy, one each way, and neither reads on
before the other side has taken what was read: whatever is carried, a tunnel keeps some 400 KiB.
A tunnel ends when both sides have said all, when one breaks, when nothing has moved for
IDLE_SECONDS_MAX, or after TUNNEL_SECONDS_MAX.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from appliance.upstream.dialling import CONNECT_SECONDS, Resolve

IDLE_SECONDS_MAX = 300.0  # A model in the cloud may think for minutes before its first word.
TUNNEL_SECONDS_MAX = 86_400.0  # As long as a presigned URL of the registry is good for.
ADDRESSES_MAX = 3  # Of one name: three that do not answer are a network that is down.
CHUNK_BYTES = 64 * 1024

_PROXY_PORT = 80


class ProxyRefusedError(OSError):
    """The office's proxy does not let the box through."""

    hint = "ask whoever runs the proxy of origin.proxy"


@dataclass(frozen=True, slots=True)
class Streams:
    """A connection as asyncio hands it out."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class Carried:
    """Bytes that went from the client to the server, and back."""

    up_bytes: int = 0
    down_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Outlet:
    """The way out of the LAN.

    `proxy` is the office's own, as an http URL, or None. `port_of` has the names that do not
    listen at the port that they are asked for.
    """

    resolve: Resolve
    proxy: str | None = None
    port_of: Mapping[str, int] = field(default_factory=dict)

    @asynccontextmanager
    async def dial(self, name: str, port: int) -> AsyncIterator[Streams]:
        """Connect to `name`, and close the connection in the end.

        Raises:
            OSError: nobody answers, or the office's proxy refuses.
            AddressRefusedError, NameUnresolvableError: as `resolve` does.
        """
        port = self.port_of.get(name, port)
        streams = await (self._dial_by_proxy if self.proxy else self._dial_address)(name, port)
        try:
            yield streams
        finally:
            streams.writer.transport.abort()

    async def _dial_address(self, name: str, port: int) -> Streams:
        fault = OSError("no address")
        for address in (await self.resolve(name))[:ADDRESSES_MAX]:
            try:
                return await _connect(address, port)
            except OSError as error:
                fault = error
        raise fault

    async def _dial_by_proxy(self, name: str, port: int) -> Streams:
        proxy = urlsplit(self.proxy or "")
        assert proxy.hostname is not None, "config has checked origin.proxy"
        streams = await _connect(proxy.hostname, proxy.port or _PROXY_PORT)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _ask_proxy(streams, f"{name}:{port}", proxy.username, proxy.password)
        except BaseException:
            streams.writer.transport.abort()
            raise
        return streams


async def _connect(address: str, port: int) -> Streams:
    async with asyncio.timeout(CONNECT_SECONDS):
        return Streams(*await asyncio.open_connection(address, port, limit=CHUNK_BYTES))


async def _ask_proxy(
    streams: Streams, authority: str, user: str | None, password: str | None
) -> None:
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if user is not None:
        credentials = f"{unquote(user)}:{unquote(password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(credentials).decode()}")
    streams.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
    try:
        head = await streams.reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ProxyRefusedError("the office's proxy gives no answer") from error
    assert len(head) <= HEAD_SIZE_BYTES_MAX
    status = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status != [b"200"]:
        said = status[0].decode("latin-1") if status else "nothing"
        raise ProxyRefusedError(f"the office's proxy says {said[:20]!a}")


async def relay(client: Streams, server: Streams) -> Carried:
    """Carry bytes both ways until the tunnel ends. Closes neither side."""
    carried, now = Carried(), asyncio.get_running_loop().time
    ends_at = now() + TUNNEL_SECONDS_MAX

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if not idle.expired():  # Else this task is cancelled in a moment.
                idle.reschedule(min(now() + IDLE_SECONDS_MAX, ends_at))
            writer.write(chunk)
            await writer.drain()
            setattr(carried, name, getattr(carried, name) + len(chunk))
        writer.write_eof()

    with contextlib.suppress(OSError):
        async with asyncio.timeout(IDLE_SECONDS_MAX) as idle, asyncio.TaskGroup() as both_ways:
            both_ways.create_task(carry(client.reader, server.writer, "up_bytes"))
            both_ways.create_task(carry(server.reader, client.writer, "down_bytes"))
    return carried
