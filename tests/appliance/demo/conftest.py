"""A small model and the Internet that offers it, for this room's tests."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, ClientTimeout
from yarl import URL

from appliance.demo.client import Client
from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.demo.site import Site


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
