"""The box is nobody's way to anywhere else: every door, every form, every kind of host.

One table against a real box. That nothing is dialled shows in three places: a listener that every
form is aimed at, the name server that the box asks, and the origin's ledger.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.demo.stage import Stage
from tests.fakes.wire import Wire
from tests.journeys.conftest import open_scene

pytestmark = pytest.mark.journey

NAME = "registry.ollama.ai"
TUNNELLED = "ollama.com"  # In proxy.tunnel by default.
CLOSED = "closed"

NAMES = (
    *("google.com", "ollama.ai", f"evil{NAME}", f"a.{NAME}", f"{NAME}.evil.test", "localhost"),
    *("blobs.cdn.test", "xn--rgistry-9ya.ollama.ai", TUNNELLED),
)
ADDRESSES = (
    *("127.0.0.1", "10.0.0.1", "169.254.169.254", "8.8.8.8", "0.0.0.0", "[::1]"),
    *("[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "017700000001"),
)


@dataclass(frozen=True)
class Form:
    """A way to ask for somebody else's host, and all that may come of it."""

    door: str
    text: str
    outcomes: str
    sni: str = NAME
    spared: tuple[str, ...] = ()
    """Hosts for which this form is allowed."""

    def __str__(self) -> str:
        return f"{self.door}: {self.text!r}, SNI {self.sni}"

    def request(self, host: str, port: int) -> bytes:
        text = self.text.replace("HOST", host).replace("PORT", str(port))
        return text.encode() + b"Connection: close\r\n\r\n"


OWN = f"Host: {NAME}\r\n"
FORMS = (
    Form("https", "GET /v2/ HTTP/1.1\r\nHost: HOST\r\n", CLOSED, sni="HOST"),
    Form("https", f"GET /v2/ HTTP/1.1\r\n{OWN}", CLOSED, sni="HOST"),
    Form("https", "GET /v2/ HTTP/1.1\r\nHost: HOST\r\n", "421 400"),
    Form("https", "GET / HTTP/1.1\r\nHost: HOST:PORT\r\n", "421 400"),
    Form("https", "POST /token HTTP/1.1\r\nHost: HOST\r\n", "421 400"),
    Form("https", f"GET http://HOST:PORT/ HTTP/1.1\r\n{OWN}", "400 421 403"),
    Form("https", "GET http://HOST:PORT/v2/ HTTP/1.1\r\nHost: HOST:PORT\r\n", "400 421 403"),
    Form("https", f"GET https://HOST/ HTTP/1.1\r\n{OWN}", "400 421 403"),
    Form("https", f"CONNECT HOST:PORT HTTP/1.1\r\n{OWN}", "400 403 405 421"),
    Form("https", "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST:443\r\n", "400 403 405 421"),
    Form("tunnel", "GET /v2/ HTTP/1.1\r\nHost: HOST\r\n", CLOSED, sni="HOST"),
    Form("tunnel", "GET /v2/ HTTP/1.1\r\nHost: HOST\r\n", "421 400"),
    Form("tunnel", f"GET http://HOST:PORT/ HTTP/1.1\r\n{OWN}", "400 421 403"),
    Form("tunnel", "CONNECT HOST:PORT HTTP/1.1\r\nHost: HOST:PORT\r\n", "400 403 405 421"),
    Form(
        "proxy",
        "CONNECT HOST:443 HTTP/1.1\r\nHost: HOST:443\r\n",
        "403 400",
        spared=(TUNNELLED,),
    ),
    Form("proxy", "CONNECT HOST:PORT HTTP/1.1\r\nHost: HOST:PORT\r\n", "403 400"),
    Form("proxy", "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n", "403 400"),
    Form("proxy", f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: HOST:443\r\n", "400"),
    Form("proxy", "GET http://HOST:PORT/ HTTP/1.1\r\nHost: HOST:PORT\r\n", "403 400"),
    Form("proxy", "GET http://HOST:PORT/blobs/x HTTP/1.1\r\nHost: HOST:PORT\r\n", "403 400"),
    Form("proxy", "GET https://HOST/v2/ HTTP/1.1\r\nHost: HOST\r\n", "403 400"),
    Form("proxy", "POST http://HOST:PORT/ HTTP/1.1\r\nHost: HOST:PORT\r\n", "403 400"),
    Form("proxy", "GET /v2/ HTTP/1.1\r\nHost: HOST\r\n", "403 400"),
    Form("http", "CONNECT HOST:PORT HTTP/1.1\r\nHost: HOST:PORT\r\n", "400 404 405"),
    Form("http", "GET http://HOST:PORT/ HTTP/1.1\r\nHost: HOST:PORT\r\n", "400 403 404 421"),
    Form("http", "GET http://HOST:PORT/v2/ HTTP/1.1\r\nHost: HOST:PORT\r\n", "400 403 404 421"),
    Form("http", "PUT /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: HOST\r\n", "400 405"),
)


async def test_no_door_leads_to_another_s_host_in_any_form(home: Path) -> None:
    async with open_scene(home) as scene:
        stage, outside = scene.stage, scene.stage.outside
        await scene.pull("somebody")  # So that the box knows the origin's address by now.
        asked_before = len(outside.ledger.asked)
        surprises = []
        with trap() as (port, is_untouched):
            for form in FORMS:
                for host in (*NAMES, *ADDRESSES):
                    if host in form.spared:
                        continue
                    outcome = await attempt(stage, form, host, port)
                    if outcome not in form.outcomes.split():
                        surprises.append(f"{form}, {host}: {outcome}")
            assert is_untouched()
        assert surprises == []
        named = {name for name, _ in outside.names.asked}
        assert named <= {NAME, "blobs.cdn.test"}
        assert len(outside.ledger.asked) == asked_before


@contextmanager
def trap() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A port of this machine, and whether nobody has dialled it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)

        def is_untouched() -> bool:
            try:
                listening.accept()[0].close()
            except BlockingIOError:
                return True
            return False

        yield listening.getsockname()[1], is_untouched


async def attempt(stage: Stage, form: Form, host: str, port: int) -> str:
    """The status of the answer, or that there was none."""
    try:
        async with enter(stage, form, host) as wire:
            wire.send(form.request(host, port))
            answer = await wire.answer()
            return CLOSED if answer is None else str(answer.status)
    except (ssl.SSLError, ConnectionError):
        return CLOSED


@asynccontextmanager
async def enter(stage: Stage, form: Form, host: str) -> AsyncIterator[Wire]:
    box = stage.box
    ports = {"https": box.tls_port, "tunnel": box.proxy_port}
    ports |= {"proxy": box.proxy_port, "http": box.web_port}
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[form.door])
    try:
        if form.door == "tunnel":
            writer.write(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).split()[1] == b"200"
        if form.door in ("https", "tunnel"):
            context = ssl.create_default_context(cafile=str(box.ca_file))
            context.check_hostname = form.sni == NAME
            sni = form.sni.replace("HOST", host.strip("[]"))
            await writer.start_tls(context, server_hostname=sni)
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
