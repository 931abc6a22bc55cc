"""The proxy door: CONNECT for `HTTPS_PROXY`, opened, tunnelled or refused.

The head of a CONNECT is read here and bounded as on the other doors. For a name of ours the
connection is then handed to mitmproxy, which meets it as the TLS door meets its clients; bytes of
a tunnel never pass mitmproxy, which reads on whether or not they can be written. A GET in absolute
form of the box's own blob URLs goes to the side server, in a form of ours and without credentials.
Whatever else is asked is answered with a sentence, and nothing is dialled.
"""

import asyncio
import contextlib
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import cast

import h11

from addons.entrance import Attendance, counted
from addons.master import Proxy
from appliance.accepting import accept_streams
from appliance.policy.addresses import AddressRefusedError
from appliance.policy.tunnels import Open, Refuse, Tunnel, choose_way, read_own_target
from appliance.policy.turnstile import Turnstile
from appliance.protocol.errors import (
    BadGateway,
    Denied,
    FieldsTooLarge,
    LoopDetected,
    RequestInvalid,
    Unavailable,
    Verdict,
)
from appliance.protocol.fields import is_via
from appliance.protocol.heads import (
    HEAD_SECONDS_MAX,
    HEAD_SIZE_BYTES_MAX,
    Host,
    check_head,
    parse_host,
)
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.tunnel import Outlet, ProxyRefusedError, Streams, relay

TUNNELS_MAX = 1024  # Two descriptors each, of the 65,536 that the service has.
BLOBS_PATH = "/blobs/"

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
# What parsers read in two ways: control characters, half of a line's end, and folded lines.
_AMBIGUOUS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\n[ \t]")
_LENGTH = re.compile(rb"(?i)\ncontent-length:")  # h11 makes one of two that agree.
_NOT_PASSED_ON = frozenset({b"connection", b"host", b"keep-alive", b"upgrade", b"expect"})
_SECRETS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})

_log = logging.getLogger("proxy")


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """Who may ask for what. `opened` are the names of ours, `tunnelled` is `proxy.tunnel`.

    `own_addresses` and `http_ports` are where the box's own blob URLs lead. `pseudonym` is what
    the box signs `Via` with. `turnstile` counts all doors' connections.
    """

    opened: frozenset[str]
    tunnelled: tuple[str, ...]
    is_allowed: Callable[[str], bool]
    own_addresses: Callable[[], Collection[str]]
    http_ports: frozenset[int]
    pseudonym: str
    turnstile: Turnstile


class ProxyDoor:
    """Listens for CONNECT. Use with `async with`."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        rules: ProxyRules,
        outlet: Outlet,
        proxy: Proxy | None,
        take_clear: Callable[[socket.socket, bytes], Awaitable[None]],
    ) -> None:
        """Take over bound `sockets`.

        Opened connections go to `proxy`, which is left after this; it may be None where the rules
        open nothing. `take_clear` takes a connection in the clear over, with the head of its one
        request.
        """
        self._sockets = sockets
        self._rules = rules
        self._outlet = outlet
        self._proxy = proxy
        self._take_clear = take_clear
        self._own = Attendance()
        self.tunnel_count = 0

    async def __aenter__(self) -> "ProxyDoor":
        self._acceptor = accept_streams(self._sockets, self._meet, limit=HEAD_SIZE_BYTES_MAX)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._acceptor.close()
        await self._own.end()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with counted(self._rules.turnstile, writer) as address:
            if address is not None:
                await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with self._own.attending():
                name = await self._settle(Streams(reader, writer))
        except asyncio.CancelledError:
            name = None  # The box stops; whoever cancels asks for nothing more.
        except OSError:
            name = None  # The client is gone.
        except Exception:  # noqa: BLE001  # The last door: it is logged, and the connection closed.
            _log.exception("a connection is closed: the proxy door failed")
            name = None
        if name is None or self._proxy is None:
            writer.close()
        else:
            await self._proxy.take(name, reader, writer)

    async def _settle(self, client: Streams) -> str | None:
        """Answer a client; returns the name to open, or None once the connection is used up."""
        peer = _read_address(client, "peername")
        if not self._rules.is_allowed(peer):
            return None
        try:
            request = await _read_request(client.reader)
            if request is not None:
                return await self._answer(client, request, peer)
        except Verdict as verdict:
            _log.info("%s refused %d: %s", peer, verdict.status, verdict.message)
            await _refuse(client, verdict)
        return None

    async def _answer(self, client: Streams, request: h11.Request, peer: str) -> str | None:
        host = check_head(request.headers.raw_items())
        _check_request(request, self._rules.pseudonym)
        if request.method != b"CONNECT":
            await self._serve_clear(client, request, host)
            return None
        authority = parse_host(request.target.decode("ascii"))
        if host.name != authority.name:
            raise RequestInvalid("the Host field is not the name that CONNECT says")
        rules = self._rules
        match choose_way(authority, opened=rules.opened, tunnelled=rules.tunnelled):
            case Refuse(reason):
                raise Denied(reason)
            case Tunnel(name):
                await self._tunnel(client, name, authority.port or 0, peer)
                return None
            case Open(name):
                client.writer.write(_ESTABLISHED)
                return name

    async def _tunnel(self, client: Streams, name: str, port: int, peer: str) -> None:
        if self.tunnel_count >= TUNNELS_MAX:
            raise Unavailable(f"this box carries {TUNNELS_MAX} tunnels already: try again later")
        self.tunnel_count += 1
        try:
            async with self._outlet.dial(name, port) as server:
                client.writer.write(_ESTABLISHED)
                carried = await relay(client, server)
        except (AddressRefusedError, NameUnresolvableError, ProxyRefusedError) as error:
            raise BadGateway(f"{error}: {error.hint}") from error
        except OSError as error:
            raise BadGateway(f"{name} cannot be reached") from error
        finally:
            self.tunnel_count -= 1
        _log.info(
            "%s tunnelled to %s: %d bytes up, %d down",
            *(peer, name, carried.up_bytes, carried.down_bytes),
        )

    async def _serve_clear(self, client: Streams, request: h11.Request, host: Host) -> None:
        if request.method not in (b"GET", b"HEAD"):
            raise Denied("this port takes CONNECT: set HTTPS_PROXY, not HTTP_PROXY")
        target = read_own_target(
            request.target.decode("ascii"),
            addresses={*self._rules.own_addresses(), _read_address(client, "sockname")},
            ports=self._rules.http_ports,
            path=BLOBS_PATH,
        )
        await self._take_clear(_detach(client), _write_head(request, target, host))


def _check_request(request: h11.Request, pseudonym: str) -> None:
    names = {name for name, _ in request.headers}
    if request.http_version not in (b"1.0", b"1.1"):
        raise RequestInvalid("this port takes HTTP/1.0 and 1.1")
    if b"transfer-encoding" in names or any(
        value.strip(b"0") for name, value in request.headers if name == b"content-length"
    ):
        raise RequestInvalid("this port takes no body in the clear")
    if any(
        is_via(value.decode("latin-1"), pseudonym)
        for name, value in request.headers
        if name == b"via"
    ):
        raise LoopDetected("this box's own request came back to it: see origin.proxy")


async def _read_request(reader: asyncio.StreamReader) -> h11.Request | None:
    """Read a head, leaving what follows; None where the client leaves, or takes too long."""
    try:
        async with asyncio.timeout(HEAD_SECONDS_MAX):
            head = await reader.readuntil(b"\r\n\r\n")
    except (TimeoutError, asyncio.IncompleteReadError):
        return None
    except asyncio.LimitOverrunError as error:
        raise FieldsTooLarge(f"a head has at most {HEAD_SIZE_BYTES_MAX} bytes") from error
    if _AMBIGUOUS.search(head) or len(_LENGTH.findall(head)) > 1:
        raise RequestInvalid("a head holds what no head may hold")
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_SIZE_BYTES_MAX)
    try:
        connection.receive_data(head)
        request = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise RequestInvalid("this cannot be read as an HTTP request") from error
    if not isinstance(request, h11.Request):
        raise RequestInvalid("this cannot be read as an HTTP request")
    return request


def _write_head(request: h11.Request, target: str, host: Host) -> bytes:
    """The request in origin form, for a connection that ends with its answer."""
    port = "" if host.port is None else f":{host.port}"
    name = f"[{host.name}]" if ":" in host.name else host.name
    left_out = _NOT_PASSED_ON | _SECRETS
    fields = [(key, value) for key, value in request.headers if key not in left_out]
    fields += [(b"Host", f"{name}{port}".encode()), (b"Connection", b"close")]
    lines = [request.method + b" " + target.encode() + b" HTTP/1.1"]
    lines += [key + b": " + value for key, value in fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _detach(client: Streams) -> socket.socket:
    """The client's socket, to be read by somebody else; what followed the head is nobody's."""
    transport = cast("asyncio.Transport", client.writer.transport)  # uvloop's is not one by name.
    if transport.is_closing():
        raise ConnectionResetError("the client is gone")
    transport.pause_reading()
    return socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))


async def _refuse(client: Streams, verdict: Verdict) -> None:
    """Answer in plain text; Go shows its users the reason phrase and nothing else."""
    body = f"{verdict.message}\n".encode()
    head = (
        f"HTTP/1.1 {verdict.status} {verdict.message}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    client.writer.write(head.encode() + body)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEAD_SECONDS_MAX):
            await client.writer.drain()


def _read_address(client: Streams, name: str) -> str:
    found = client.writer.get_extra_info(name)  # None: the client is gone.
    return found[0] if found else ""
