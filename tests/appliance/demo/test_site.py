"""A site: everything it is asked is remembered, and it can go away."""

import asyncio

import pytest
from aiohttp import web

from appliance.demo.ledger import Ledger
from appliance.demo.site import Site, html_page, reset


async def hello(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="hello")


async def exchange(site: Site, head: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(site.address, site.port)
    writer.write(head)
    try:
        return await asyncio.wait_for(reader.read(), timeout=10)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_request_is_remembered_byte_for_byte() -> None:
    async with Site("site.test", hello, Ledger()) as site:
        head = b"PUT /a%2fB//c/../d?x=%7e+y HTTP/1.1\r\nHost: site.test\r\nX-Odd: 1\r\n"
        reply = await exchange(site, head + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc")
    assert reply.startswith(b"HTTP/1.1 200")
    (asked,) = site.ledger.asked
    assert (asked.method, asked.target, asked.body_bytes) == ("PUT", "/a%2fB//c/../d?x=%7e+y", 3)
    assert asked.fields[:2] == (("Host", "site.test"), ("X-Odd", "1"))


async def test_down_refuses_connections_and_up_is_the_same_port() -> None:
    async with Site("site.test", hello, Ledger()) as site:
        port = site.port
        assert site.url == f"http://site.test:{port}"
        await site.go_down()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(site.address, port)
        await site.come_up()
        assert site.port == port
        assert b"hello" in await exchange(
            site, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )


async def test_going_down_ends_open_connections() -> None:
    async with Site("site.test", hello, Ledger()) as site:
        reader, writer = await asyncio.open_connection(site.address, site.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"hello")
        await site.go_down()
        assert await asyncio.wait_for(reader.read(), timeout=10) == b""
        writer.close()
        await writer.wait_closed()


async def test_a_reset_is_one() -> None:
    async def break_off(request: web.BaseRequest) -> web.StreamResponse:
        reset(request)
        return web.Response()

    async with Site("site.test", break_off, Ledger()) as site:
        with pytest.raises(ConnectionResetError):
            await exchange(site, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")


def test_a_portal_answers_200_with_html() -> None:
    page = html_page()
    assert (page.status, page.content_type) == (200, "text/html")


def test_a_url_names_no_port_that_its_scheme_has_anyway() -> None:
    site = Site("site.test", hello, Ledger(), port=80)
    assert (site.authority, site.url) == ("site.test", "http://site.test")
    site.port = 443
    assert site.url == "http://site.test:443"
