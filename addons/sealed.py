"""The https door while the box has no certificate: connections carried to the origin, sealed.

Of what a client sends only the first message is looked at, for the name in it: the registry's is
dialled, and all bytes of both sides are handed on as they are. Any other name, none, and what is no
TLS is closed, and nothing is dialled.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence

from mitmproxy.proxy.layers.tls import parse_client_hello

from addons.entrance import Attendance, counted
from addons.guard import HELLO_SIZE_BYTES_MAX
from appliance.accepting import accept_streams
from appliance.policy.addresses import AddressRefusedError
from appliance.policy.turnstile import Turnstile
from appliance.protocol.heads import HEAD_SECONDS_MAX
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.tunnel import Outlet, Streams, relay

_log = logging.getLogger("https")


class SealedDoor:
    """Carries TLS for `name` to `name` itself. Use with `async with`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        name: str,
        port: int,
        outlet: Outlet,
        *,
        is_allowed: Callable[[str], bool],
        turnstile: Turnstile,
    ) -> None:
        """Take over bound `sockets`; `port` is the origin's own."""
        self._sockets = sockets
        self._name = name
        self._port = port
        self._outlet = outlet
        self._is_allowed = is_allowed
        self._turnstile = turnstile
        self._own = Attendance()

    async def __aenter__(self) -> "SealedDoor":
        self._acceptor = accept_streams(self._sockets, self._meet)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._acceptor.close()
        await self._own.end()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with counted(self._turnstile, writer) as address:
            if address is not None:
                await self._serve(address, Streams(reader, writer))

    async def _serve(self, address: str, client: Streams) -> None:
        try:
            with self._own.attending():
                if self._is_allowed(address):
                    await self._carry(client)
        except asyncio.CancelledError:
            pass  # The stand-in ends; whoever cancels asks for nothing more.
        except (AddressRefusedError, NameUnresolvableError, OSError) as error:
            _log.info("%s is not carried to %s: %s", address, self._name, error)
        except Exception:  # noqa: BLE001  # The last door: it is logged, and the connection closed.
            _log.exception("a connection is closed: the sealed door failed")
        finally:
            client.writer.transport.abort()

    async def _carry(self, client: Streams) -> None:
        hello = await read_hello(client.reader, self._name)
        if hello is None:
            return
        async with self._outlet.dial(self._name, self._port) as server:
            server.writer.write(hello)
            await relay(client, server)


def parse_name(begun: bytes) -> str | None:
    """The name that a ClientHello says, in lower case, "" where it says none; None if unfinished.

    Raises:
        ValueError: it is no hello.
    """
    hello = parse_client_hello(begun)
    return None if hello is None else (hello.sni or "").lower()


async def read_hello(reader: asyncio.StreamReader, name: str) -> bytes | None:
    """All that came up to the end of a ClientHello for `name`; None where it is anything else."""
    begun = b""
    with contextlib.suppress(TimeoutError, ValueError):  # What is no hello is a ValueError.
        async with asyncio.timeout(HEAD_SECONDS_MAX):
            while len(begun) <= HELLO_SIZE_BYTES_MAX:
                chunk = await reader.read(HELLO_SIZE_BYTES_MAX)
                begun += chunk
                said = parse_name(begun)
                if said is not None:
                    return begun if said == name else None
                if not chunk:
                    return None
    return None
