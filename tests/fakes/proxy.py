"""An office's proxy on loopback: tunnels CONNECT to the same port of this machine."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

PROXY_ADDRESS = "127.0.0.1"


class Proxy:
    """Leads every name to loopback, and remembers the first line of every request.

    `refusal` is what it says instead of connecting, where it is set.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refusal: bytes | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{PROXY_ADDRESS}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._converse, PROXY_ADDRESS)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.split(b"\r\n")[0].decode()
            self.asked.append(line)
            if self.refusal is not None:
                writer.write(self.refusal)
                return
            method, target, _ = line.split(" ")
            port = int(target.removeprefix("http://").partition("/")[0].rpartition(":")[2])
            far_reader, far_writer = await asyncio.open_connection(PROXY_ADDRESS, port)
            with contextlib.closing(far_writer):
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    far_writer.write(head)
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(_copy(reader, far_writer))
                    both_ways.create_task(_copy(far_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()
