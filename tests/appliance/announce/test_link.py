"""The raw socket between two kernels: what passes, and what is not heard."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.announce.link import ALL_NODES, ALL_ROUTERS, Heard, Link, Solicited, open_socket
from appliance.announce.wire import format_advertisement, format_solicitation
from tests.namespaces import Machine, cable

ADDRESS = "64:ff9b:1::5"
SOON = 10.0


@asynccontextmanager
async def links() -> AsyncIterator[tuple[Link, Link, Machine, Machine]]:
    with cable() as (box, client):
        ours, theirs = (Link(each.inside(lambda: open_socket("wire0"))) for each in (box, client))
        try:
            yield ours, theirs, box, client
        finally:
            ours.close()
            theirs.close()


async def test_solicitations_and_advertisements_arrive_and_nothing_else() -> None:
    async with links() as (ours, theirs, _box, client):
        theirs.send(bytes([128, 0]) + bytes(6), ALL_ROUTERS)  # An echo request.
        theirs.send(format_solicitation() + b"\x01", ALL_ROUTERS)  # Malformed.
        theirs.send(format_solicitation(), ALL_ROUTERS)
        assert await ours.wait(SOON) == Solicited()
        theirs.send(format_advertisement(ADDRESS, 60), ALL_NODES)
        heard = await ours.wait(SOON)
        assert isinstance(heard, Heard)
        own = client.type("ip", "-6", "-o", "address", "show", "dev", "wire0")
        assert heard.source.partition("%")[0] in own
        assert await ours.wait(0.0) is None


async def test_what_came_over_a_router_is_not_heard() -> None:
    async with links() as (ours, theirs, *_):
        theirs._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 254)
        theirs.send(format_advertisement(ADDRESS, 60), ALL_NODES)
        theirs._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        theirs.send(format_solicitation(), ALL_ROUTERS)
        assert await ours.wait(SOON) == Solicited()


async def test_own_words_are_not_heard_and_waiting_can_be_ended() -> None:
    async with links() as (ours, theirs, *_):
        ours.send(format_advertisement(ADDRESS, 60), ALL_NODES)
        assert isinstance(await theirs.wait(SOON), Heard)
        asyncio.get_running_loop().call_soon(ours.wake)
        assert await ours.wait(SOON) is None


def test_an_interface_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OSError, match=r"o such device|nterface"):
        open_socket("none0")
