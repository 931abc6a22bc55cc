"""The wire: bodies as they come, failures in Go's words."""

import asyncio
import contextlib
import http.client
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.credentials import DemoAuthority
from appliance.demo.habits import Surroundings
from appliance.demo.outside import Outside
from appliance.demo.ports import choose_port
from appliance.demo.urls import WireError, parse_url
from appliance.demo.wire import Connection, Dialer, StalledError, UnexpectedEofError, receive_into
from tests.appliance.demo.tunnels import open_proxy


def ask_scripted(reply: bytes, timeout_seconds: float = 10) -> http.client.HTTPResponse:
    """The answer to a request, where the server says `reply` and closes if that is all."""
    here, there = socket.socketpair()
    here.settimeout(timeout_seconds)
    there.sendall(reply)
    there.shutdown(socket.SHUT_WR)
    try:
        return Connection(here, "a").ask("GET", parse_url("http://a/"), {})
    finally:
        there.recv(65536)  # What is left unread at the end would become a reset.
        there.close()
        here.close()


def read_all(response: http.client.HTTPResponse) -> bytes:
    view, body = memoryview(bytearray(4)), b""
    with contextlib.closing(response):
        while count := receive_into(response, view):
            body += view[:count]
    return body


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"Content-Length: 7\r\n\r\nseven b", id="counted"),
        pytest.param(b"Content-Length: 7\r\n\r\nseven bytes", id="what follows is not its own"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n7\r\nseven b\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"Connection: close\r\n\r\nseven b", id="until the end"),
    ],
)
def test_bodies_end_where_they_say(reply: bytes) -> None:
    assert read_all(ask_scripted(b"HTTP/1.1 206 OK\r\n" + reply)) == b"seven b"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"Content-Length: 8\r\n\r\nseven b", id="counted"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n8\r\nseven b", id="in a chunk"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n7\r\nseven b\r\n", id="between chunks"),
    ],
)
def test_bodies_that_end_early_say_so(reply: bytes) -> None:
    with pytest.raises(UnexpectedEofError, match="unexpected EOF"):
        read_all(ask_scripted(b"HTTP/1.1 206 OK\r\n" + reply))


@pytest.mark.parametrize(
    ("reply", "message"),
    [(b"", "EOF"), (b"SSH-2.0-x\r\n", "malformed HTTP response"), (b"HTTP/1.1 x\r\n", "malformed")],
)
def test_what_is_no_answer(reply: bytes, message: str) -> None:
    with pytest.raises(WireError, match=message):
        ask_scripted(reply)


def test_silence_is_a_stall() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(0.01)
        with pytest.raises(StalledError):
            Connection(here, "a").ask("GET", parse_url("http://a/"), {})


async def dial(surroundings: Surroundings, url: str) -> None:
    def connect_and_close() -> None:
        Dialer(surroundings).dial(parse_url(url)).socket.close()

    await asyncio.to_thread(connect_and_close)


async def test_names_ports_and_routes_lead_to_the_site(outside: Outside) -> None:
    await dial(outside.surroundings, "https://registry.ollama.ai/")
    outside.names.zone["registry.ollama.ai"] = ("203.0.113.10",)
    routes = {"203.0.113.10": outside.registry.address}
    await dial(replace(outside.surroundings, routes=routes), "https://registry.ollama.ai/")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://nowhere.test/", r"dial tcp: lookup nowhere.test on 127.0.0.1:\d+: no such host"),
        ("http://127.0.0.1:{port}/", r"dial tcp 127.0.0.1:\d+: connect: connection refused"),
    ],
)
async def test_failures_are_in_gos_words(outside: Outside, url: str, message: str) -> None:
    with pytest.raises(WireError, match=message):
        await dial(outside.surroundings, url.format(port=choose_port()))


async def test_a_strangers_certificate_is_refused(outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = DemoAuthority(tmp_path / "other").ca_file
    message = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
    with pytest.raises(WireError, match=message):
        await dial(replace(outside.surroundings, ca_file=other), "https://registry.ollama.ai/")


async def test_a_certificate_for_another_name_is_refused(outside: Outside) -> None:
    outside.names.zone["other.test"] = (outside.registry.address,)
    with pytest.raises(WireError, match=r"x509: certificate is not valid for other.test"):
        await dial(outside.surroundings, "https://other.test/")


@pytest.fixture
async def closing_server() -> AsyncIterator[int]:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_hangs_up_on_the_hello_is_an_error(
    outside: Outside, closing_server: int
) -> None:
    with pytest.raises(WireError, match="remote error: tls"):
        await dial(outside.surroundings, f"https://127.0.0.1:{closing_server}/")


async def test_https_goes_through_the_proxy_and_http_does_not(outside: Outside) -> None:
    authority = f"registry.ollama.ai:{outside.registry.port}"
    places = {"registry.ollama.ai:443": (outside.registry.address, outside.registry.port)}
    async with open_proxy(places) as proxy:
        surroundings = replace(outside.surroundings, https_proxy=("127.0.0.1", proxy.port))
        await dial(surroundings, "https://registry.ollama.ai/")
        await dial(surroundings, f"http://{authority}/")
        assert proxy.asked == ["registry.ollama.ai:443"]
        with pytest.raises(WireError, match=r"^Forbidden by rule$"):
            await dial(surroundings, f"https://{authority}/")
        with pytest.raises(WireError, match=r"certificate is not valid for .127\.0\.0\.1"):
            await dial(surroundings, f"https://127.0.0.1:{outside.registry.port}/")
        assert proxy.asked == ["registry.ollama.ai:443", authority]


async def test_a_proxy_for_http_is_told_whole_urls() -> None:
    told: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.set_result(await reader.readline())
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1") as server:
        door = ("127.0.0.1", server.sockets[0].getsockname()[1])
        around = Surroundings(dns=("127.0.0.1", 9), http_proxy=door)
        await asyncio.to_thread(_get, around, "http://192.0.2.1:8080/a%2Fb?c")
        assert await told == b"GET http://192.0.2.1:8080/a%2Fb?c HTTP/1.1\r\n"
        assert not Dialer(around).proxies(parse_url("https://192.0.2.1/"))
        assert not Dialer(around).proxies(parse_url("http://127.0.0.1/"))


def _get(around: Surroundings, text: str) -> None:
    url = parse_url(text)
    connection = Dialer(around).dial(url)
    with closing(connection.socket), closing(connection.ask("GET", url, {})) as response:
        assert response.status == 204


async def test_a_proxy_that_is_none_is_an_error(outside: Outside, closing_server: int) -> None:
    for port, message in ((choose_port(), "connect: "), (closing_server, "(malformed|read: )")):
        surroundings = replace(outside.surroundings, https_proxy=("127.0.0.1", port))
        with pytest.raises(WireError, match=f"^proxyconnect tcp: .*{message}"):
            await dial(surroundings, "https://registry.ollama.ai/")


async def test_the_newest_dial_no_address_that_is_not_public(outside: Outside) -> None:
    """A name may answer otherwise between the check and the call; so the call is checked, too."""

    def connect() -> None:
        url = parse_url("https://registry.ollama.ai/")
        Dialer(outside.surroundings).dial(url, is_guarded=True)

    with pytest.raises(WireError, match=r"dial tcp 127.0.0.1:\d+: address is not public"):
        await asyncio.to_thread(connect)


def test_a_name_that_a_machine_knows_by_itself_is_not_asked_for() -> None:
    around = Surroundings(dns=("127.0.0.1", 9), hosts={"near.test": "127.0.0.3"})
    assert Dialer(around).addresses("near.test") == ["127.0.0.3"]


@pytest.mark.parametrize("near", ["127.0.0.1", "::ffff:127.0.0.1"], ids=["v4", "mapped"])
async def test_a_machine_has_an_address_of_its_own(near: str) -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere loopback has one address")
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peername")[0])
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        around = Surroundings(dns=("127.0.0.1", 9), own_address="127.0.1.7")
        host = f"[{near}]" if ":" in near else near
        await dial(around, f"http://{host}:{port}/")
        assert await seen == "127.0.1.7"
