"""Accepting: all that wait at once, none lost, and a door that cannot take any for a while."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance import accepting
from appliance.accepting import ACCEPTED_MAX, Acceptor, accept_streams

LOOPBACK = "127.0.0.1"


class Greeter(asyncio.Protocol):
    """Counts those that came."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Greeter.count += 1
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"welcome")
        transport.close()


@pytest.fixture(autouse=True)
def nobody_yet() -> None:
    Greeter.count = 0


def bind() -> socket.socket:
    bound = socket.socket()
    bound.bind((LOOPBACK, 0))
    return bound


@contextmanager
def waiting(listening: socket.socket, count: int) -> Iterator[list[socket.socket]]:
    clients = [socket.create_connection(listening.getsockname()) for _ in range(count)]
    try:
        yield clients
    finally:
        for each in clients:
            each.close()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_that_wait_are_taken_in_a_few_turns_of_the_loop() -> None:
    acceptor = Acceptor([bound := bind()], Greeter)
    with waiting(bound, ACCEPTED_MAX):
        await turns(5)  # The loop looks, a task is begun, a transport is made.
        assert Greeter.count == ACCEPTED_MAX
    acceptor.close()


async def test_of_a_shared_socket_one_is_taken_in_a_turn() -> None:
    acceptor = Acceptor([bound := bind()], Greeter, accepted_max=1)
    with waiting(bound, 20):
        await turns(5)
        assert 1 <= Greeter.count <= 5
    acceptor.close()


async def test_a_crowd_leaves_turns_to_others() -> None:
    acceptor = Acceptor([bound := bind()], Greeter)
    with waiting(bound, 3 * ACCEPTED_MAX) as clients:
        loop = asyncio.get_running_loop()
        for each in clients:
            each.setblocking(False)
            assert await loop.sock_recv(each, 100) == b"welcome"
    acceptor.close()


async def test_who_was_taken_goes_on_when_the_door_is_closed() -> None:
    came = asyncio.Event()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.write(await reader.readline())
        writer.close()

    acceptor = accept_streams([bound := bind()], echo)
    place = bound.getsockname()
    reader, writer = await asyncio.open_connection(*place)
    await came.wait()
    acceptor.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*place)
    writer.write(b"still here\n")
    assert await reader.read() == b"still here\n"
    writer.close()


async def test_a_stream_has_the_addresses_of_both_ends() -> None:
    ends: asyncio.Future[tuple[object, object]] = asyncio.get_running_loop().create_future()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.set_result((writer.get_extra_info("peername"), writer.get_extra_info("sockname")))
        writer.close()

    acceptor = accept_streams([bound := bind()], meet)
    with waiting(bound, 1) as (client,):
        assert await ends == (client.getsockname(), client.getpeername())
    acceptor.close()


async def test_nothing_small_is_held_back_until_more_is_written() -> None:
    found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = writer.get_extra_info("socket")
        found.set_result(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    acceptor = accept_streams([bound := bind()], meet)
    with waiting(bound, 1):
        assert await found
    acceptor.close()


class Exhausted(socket.socket):
    """A listening socket that gives nobody out at first: no descriptor is left."""

    def __init__(self, refusals: int) -> None:
        super().__init__()
        self.refusals = refusals
        self.bind((LOOPBACK, 0))

    def accept(self) -> tuple[socket.socket, object]:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


async def test_a_door_that_cannot_take_anybody_tries_again_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.01)
    acceptor = Acceptor([bound := Exhausted(refusals=2)], Greeter)
    with waiting(bound, 1) as (client,):
        client.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(client, 100) == b"welcome"
    assert [record.message for record in caplog.records] == [
        "no connection can be taken for a second: [Errno 24] Too many open files"
    ] * 2
    acceptor.close()


async def test_a_door_that_is_closed_while_it_pauses_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.0)
    acceptor = Acceptor([bound := Exhausted(refusals=1)], Greeter)
    with waiting(bound, 1):
        while bound.refusals:  # noqa: ASYNC110  # It tells nobody.
            await asyncio.sleep(0)
        acceptor.close()
        await turns(5)
    assert Greeter.count == 0
    assert bound.fileno() < 0
