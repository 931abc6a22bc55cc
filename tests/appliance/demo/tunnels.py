"""A tiny proxy for tests: CONNECT to where a map says, 403 for what it does not name."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Tunnels:
    """What a proxy knows: names with ports, and where they are; and what it was asked."""

    places: Mapping[str, tuple[str, int]]
    port: int = 0
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def open_proxy(places: Mapping[str, tuple[str, int]]) -> AsyncIterator[Tunnels]:
    """Listen on a free port of loopback."""
    tunnels = Tunnels(places)
    conversations: set[asyncio.StreamWriter] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversations.add(writer)
        try:
            method, server, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split(" ", 2)
            assert method == "CONNECT"
            tunnels.asked.append(server)
            if server in places:
                await _join(reader, writer, *places[server])
            else:
                writer.write(b"HTTP/1.1 403 Forbidden by rule\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            conversations.discard(writer)
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        tunnels.port = server.sockets[0].getsockname()[1]
        yield tunnels
        for each in conversations:
            each.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    far_reader, far_writer = await asyncio.open_connection(host, port)
    writer.write(b"HTTP/1.1 200 Connection established\r\nVia: us\r\n\r\n")
    async with asyncio.TaskGroup() as group:
        group.create_task(_copy(reader, far_writer))
        group.create_task(_copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
