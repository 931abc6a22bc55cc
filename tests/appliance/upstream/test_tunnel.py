"""Tunnels over real sockets: every byte, no more than a few of them kept, and an end."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.policy.addresses import AddressRefusedError, check_origin_address
from appliance.upstream import tunnel
from appliance.upstream.resolver import NameUnresolvableError
from appliance.upstream.tunnel import Carried, Outlet, ProxyRefusedError, Streams, relay
from tests.fakes.proxy import Proxy

type Talk = Callable[[Streams], Awaitable[None]]

NAME = "ollama.com"


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[int]:
    """A server on loopback that talks so with whoever connects; its port."""

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(Streams(reader, writer))
        except OSError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def resolve(_: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


class Carrier:
    """A tunnel's client end is `client`; what the tunnel carried is `carried`, once it ended."""

    def __init__(self) -> None:
        self.carried: asyncio.Future[Carried] = asyncio.get_running_loop().create_future()
        self.ends: list[Streams] = []

    @property
    def kept_bytes(self) -> int:
        """What the tunnel itself holds, read and not yet written."""
        readers: list[Any] = [each.reader for each in self.ends]
        unread = sum(len(each._buffer) for each in readers)
        return unread + sum(each.writer.transport.get_write_buffer_size() for each in self.ends)


@asynccontextmanager
async def tunnelled(talk: Talk) -> AsyncIterator[tuple[Streams, Carrier]]:
    """A client, connected through a tunnel to a server that talks so."""
    carrier = Carrier()

    async def carry(client: Streams) -> None:
        async with Outlet(resolve).dial(NAME, port) as server:
            carrier.ends += [client, server]
            carrier.carried.set_result(await relay(client, server))

    async with serving(talk) as port, serving(carry) as near:
        client = Streams(*await asyncio.open_connection("127.0.0.1", near))
        try:
            yield client, carrier
        finally:
            client.writer.transport.abort()
            async with asyncio.timeout(5):
                await carrier.carried


async def echo(server: Streams) -> None:
    while chunk := await server.reader.read(1000):
        server.writer.write(chunk)
        await server.writer.drain()


async def test_bytes_go_both_ways_as_they_are_and_are_counted() -> None:
    sent = random.Random(1).randbytes(3_000_000)
    async with tunnelled(echo) as (client, carrier), asyncio.TaskGroup() as group:
        client.writer.write(sent)
        got = group.create_task(client.reader.readexactly(len(sent)))
        await client.writer.drain()
        assert await got == sent
        client.writer.write_eof()
        assert await client.reader.read() == b""
        assert await carrier.carried == Carried(len(sent), len(sent))


async def test_who_has_said_all_may_still_be_answered() -> None:
    async def answer_at_the_end(server: Streams) -> None:
        server.writer.write((await server.reader.read()).upper())

    async with tunnelled(answer_at_the_end) as (client, _):
        client.writer.write(b"half closed")
        client.writer.write_eof()
        assert await client.reader.read() == b"HALF CLOSED"


@pytest.mark.parametrize("is_slow_server", [False, True], ids=["slow client", "slow server"])
async def test_who_does_not_read_is_not_read_for(*, is_slow_server: bool) -> None:
    """The fast side gives 64 MiB; the tunnel keeps less than one while nobody takes them."""
    chunk, count = random.Random(2).randbytes(1 << 20), 64
    may_read, written = asyncio.Event(), 0

    async def give(end: Streams) -> None:
        nonlocal written
        for _ in range(count):
            end.writer.write(chunk)
            await end.writer.drain()
            written += 1
        end.writer.write_eof()

    async def take(end: Streams) -> None:
        await may_read.wait()
        for _ in range(count):
            assert await end.reader.readexactly(len(chunk)) == chunk
        end.writer.write_eof()

    near, far = (give, take) if is_slow_server else (take, give)
    async with tunnelled(far) as (client, carrier), asyncio.TaskGroup() as group:
        talking = group.create_task(near(client))
        before = -1
        while written == 0 or before != written:  # Until no turns of the loop move any more.
            before = written
            for _ in range(500):
                await asyncio.sleep(0)
                assert carrier.kept_bytes < 1 << 20
        assert written < count // 2  # The kernel's own buffers hold some.
        may_read.set()
        await talking
        carried = await carrier.carried
        assert carried.up_bytes + carried.down_bytes == count << 20


async def test_a_tunnel_in_which_nothing_moves_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "IDLE_SECONDS_MAX", 0.05)
    async with tunnelled(echo) as (client, carrier):
        assert await client.reader.read() == b""
        assert await carrier.carried == Carried()


async def test_a_tunnel_is_closed_in_the_end_however_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "TUNNEL_SECONDS_MAX", 0.05)

    async def chatter(server: Streams) -> None:
        while True:
            server.writer.write(b"and on ")
            await server.writer.drain()
            await asyncio.sleep(0)

    async with tunnelled(chatter) as (client, carrier):
        while await client.reader.read(1 << 16):
            pass
        assert (await carrier.carried).down_bytes


async def test_a_server_that_breaks_off_ends_the_tunnel() -> None:
    async def hang_up(server: Streams) -> None:
        linger = struct.pack("ii", 1, 0)  # So that closing resets.
        own = server.writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with tunnelled(hang_up) as (client, carrier):
        await carrier.carried
        assert await client.reader.read() == b""


async def test_only_a_checked_address_is_dialled() -> None:
    async def checked(_: str) -> tuple[str, ...]:
        check_origin_address("127.0.0.1", frozenset(), allow_private=False)
        raise AssertionError("it is refused")

    with pytest.raises(AddressRefusedError):
        async with Outlet(checked).dial(NAME, 443):
            pass


async def test_a_name_that_nobody_knows_is_said() -> None:
    async def unknown(name: str) -> tuple[str, ...]:
        raise NameUnresolvableError(name, "no such name")

    with pytest.raises(NameUnresolvableError):
        async with Outlet(unknown).dial(NAME, 443):
            pass


async def test_the_next_address_is_dialled_where_one_is_dead() -> None:
    async def two(_: str) -> tuple[str, ...]:
        return ("127.255.255.255", "127.0.0.1")

    async with serving(echo) as port, Outlet(two).dial(NAME, port) as server:
        server.writer.write(b"here")
        assert await server.reader.readexactly(4) == b"here"


async def test_nobody_there_is_an_error() -> None:
    async with serving(echo) as port:
        pass
    with pytest.raises(OSError, match="Connect call failed"):
        async with Outlet(resolve).dial(NAME, port):
            pass


async def never(_: str) -> tuple[str, ...]:
    raise AssertionError("the office's proxy looks names up")


async def test_the_office_s_proxy_is_asked_for_the_name() -> None:
    async with serving(echo) as port, Proxy() as office:
        async with Outlet(never, office.url).dial(NAME, port) as server:
            server.writer.write(b"through")
            assert await server.reader.readexactly(7) == b"through"
        assert office.asked == [f"CONNECT {NAME}:{port} HTTP/1.1"]


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "'407'"),
        (b"nonsense\r\n\r\n", "'nothing'"),
        (b"HTTP/1.1 200 OK\r\n", "no answer"),
        (b"a" * (1 << 20), "no answer"),
    ],
    ids=["a refusal", "no HTTP", "half an answer", "an endless answer"],
)
async def test_an_office_s_proxy_that_refuses_is_named(refusal: bytes, says: str) -> None:
    async with Proxy() as office:
        office.refusal = refusal
        with pytest.raises(ProxyRefusedError, match=says) as caught:
            async with Outlet(never, office.url).dial(NAME, 443):
                pass
        assert "origin.proxy" in caught.value.hint


async def test_the_office_s_proxy_is_told_who_asks() -> None:
    heads = []

    async def hear(client: Streams) -> None:
        heads.append(await client.reader.readuntil(b"\r\n\r\n"))
        client.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async with (
        serving(hear) as port,
        Outlet(never, f"http://me:p%40ss@127.0.0.1:{port}").dial(NAME, 443) as server,
    ):
        await server.reader.read()
    assert b"\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n" in heads[0]
