"""A small model and the Internet that offers it, for this room's tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout, web
from yarl import URL

from appliance.demo.client import Client, Pull
from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.demo.site import Answering, Site


@pytest.fixture
def model(tmp_path: Path) -> DemoModel:
    directory = tmp_path / "origin"
    directory.mkdir()
    return write_model(directory, "tiny", [300_000], tags=["1b"])


@pytest.fixture
async def outside(tmp_path: Path, model: DemoModel) -> AsyncIterator[Outside]:
    """Over TLS, with `tiny` on offer."""
    async with Outside(tmp_path, time.time) as opened:
        opened.publish(model)
        yield opened


@pytest.fixture
def client(tmp_path: Path, outside: Outside) -> Client:
    """In parts of 50 kB, and a hundred times as impatient as a real one."""
    habits = Habits(part_bytes_min=50_000, pace=100)
    return Client(tmp_path / "client", outside.surroundings, habits)


@pytest.fixture
async def plain(tmp_path: Path, model: DemoModel) -> AsyncIterator[Outside]:
    """The same without TLS, for tests that look at single answers."""
    async with Outside(tmp_path, time.time, with_tls=False) as opened:
        opened.publish(model)
        yield opened


type Asking = Callable[..., Awaitable[ClientResponse]]


@pytest.fixture
async def ask() -> AsyncIterator[Asking]:
    """Sends one request to a site, target byte for byte, and follows nothing."""
    async with ClientSession(timeout=ClientTimeout(total=10), auto_decompress=False) as session:

        async def send(
            site: Site, target: str, method: str = "GET", **fields: str
        ) -> ClientResponse:
            url = URL(f"http://{site.address}:{site.port}{target}", encoded=True)
            headers = {"Host": site.authority, "Accept-Encoding": "identity"}
            headers |= {name.replace("_", "-"): value for name, value in fields.items()}
            response = await session.request(method, url, headers=headers, allow_redirects=False)
            await response.read()
            return response

        yield send


async def pull(client: Client, name: str = "tiny", *, insecure: bool = False) -> Pull:
    return await asyncio.wait_for(
        asyncio.to_thread(client.pull, name, insecure=insecure), timeout=30
    )


def replace_blob_answers(outside: Outside, method: str, answer: Answering) -> None:
    """Have `answer` answer this method for blobs; everything else stays as it is."""
    ordinary = outside.registry.answer

    async def choose(request: web.BaseRequest) -> web.StreamResponse:
        chosen = request.method == method and "/blobs/" in request.raw_path
        return await (answer(request) if chosen else ordinary(request))

    outside.registry.answer = choose


def fixed(status: int, **fields: str) -> Answering:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value.format(path=request.raw_path) for name, value in fields.items()}
        return web.Response(status=status, headers=headers, body=b"short")

    return answer
