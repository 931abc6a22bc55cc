"""The proxy way as it is used: HTTPS_PROXY names a real box, and nobody's DNS leads to it."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.habits import BEFORE_0_5_8, NEWEST, Habits
from appliance.protocol.digest import digest_of
from tests.fakes.wire import dial
from tests.journeys.conftest import HABITS, Outcome, Scene, open_scene, run
from tests.programs import program

pytestmark = pytest.mark.journey

REGISTRY = "https://registry.ollama.ai"
LISTED = "ollama.com"


async def pull(scene: Scene, home: Path, name: str, habits: Habits) -> Path:
    """Pull by the proxy, with the Internet's own DNS; returns the copy of the weights."""
    names, box = scene.stage.outside.names, scene.stage.box
    surroundings = replace(
        box.surroundings,
        dns=(names.address, names.port),
        ports={},
        https_proxy=("127.0.0.1", box.proxy_port),
    )
    client = Client(home / name, surroundings, habits)
    assert (await asyncio.to_thread(client.pull, "tiny:1b")).sha256_ok
    return client.blob_path(scene.weights.digest)


async def curl(scene: Scene, *words: str) -> Outcome:
    """Curl by the proxy, trusting the box's CA and no other."""
    box = scene.stage.box
    proxy = ("--noproxy", "", "--proxy", f"http://127.0.0.1:{box.proxy_port}")
    return await run(program("curl"), "-sS", *proxy, "--cacert", box.ca_file, *words)


@dataclass
class Recorder:
    """A server on port 443 of an address of its own, which answers every byte with its opposite."""

    address: str
    heard: bytearray
    count: int = 0


@asynccontextmanager
async def recording() -> AsyncIterator[Recorder]:
    recorder = Recorder(
        f"127.{secrets.randbelow(99) + 100}.{secrets.randbelow(256)}.7", bytearray()
    )

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recorder.count += 1
        while chunk := await reader.read(1 << 16):
            recorder.heard += chunk
            writer.write(opposite(chunk))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(talk, recorder.address, 443)
    except PermissionError:
        pytest.skip("port 443 is not this user's to listen on")
    async with server:
        yield recorder


def opposite(content: bytes) -> bytes:
    return content.translate(bytes(range(255, -1, -1)))


@pytest.mark.parametrize(
    "habits",
    [
        pytest.param(HABITS, id="0.33"),
        pytest.param(replace(BEFORE_0_5_8, part_bytes_min=200_000, pace=20), id="0.5.7"),
        pytest.param(replace(NEWEST, part_bytes_min=200_000, pace=20), id="newest"),
    ],
)
async def test_every_generation_pulls_through_the_proxy_and_once_from_the_internet(
    home: Path, habits: Habits
) -> None:
    async with open_scene(home) as scene:
        for name in ("cold", "warm"):
            copy = await pull(scene, home, name, habits)
            assert copy.read_bytes() == scene.weights.path.read_bytes()
        assert scene.upstream_bytes == scene.model.blob_bytes
        assert (await scene.ask("/cache/stats"))["deferred"] == 0
        assert "proxy" in (await scene.ask("/api/info"))["modes"]


async def test_curl_is_led_from_the_manifest_to_the_blob_and_has_it_in_the_clear_too(
    home: Path,
) -> None:
    async with open_scene(home) as scene:
        path = f"{REGISTRY}/v2/{scene.model.repository}"
        manifest = await curl(scene, "-f", f"{path}/manifests/1b")
        assert manifest.out == scene.model.manifest, manifest.err
        # Both the redirect over https and the http URL that it names go by the proxy.
        blob = await curl(scene, "-fL", f"{path}/blobs/{scene.weights.digest}")
        assert digest_of(blob.out) == scene.weights.digest, blob.err
        refused = await curl(scene, "-w", "%{http_code}", f"{scene.stage.box.web_url}/api/models")
        assert refused.out.endswith(b"403")


async def test_a_name_of_the_list_is_tunnelled_byte_for_byte(home: Path) -> None:
    async with recording() as server, open_scene(home) as scene:
        scene.stage.outside.names.zone[LISTED] = (server.address,)
        sent = secrets.token_bytes(3_000_000)
        async with dial(scene.stage.box.proxy_port) as wire:
            wire.send(f"CONNECT {LISTED}:443 HTTP/1.1\r\nHost: {LISTED}:443\r\n\r\n".encode())
            assert (await wire.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            wire.send(sent)
            assert await wire.reader.readexactly(len(sent)) == opposite(sent)
            wire.writer.write_eof()
            assert await wire.reader.read() == b""
        assert bytes(server.heard) == sent


async def test_a_listed_name_that_leads_inside_is_not_dialled(home: Path) -> None:
    settings = {"ORIGIN_ALLOW_PRIVATE": "false"}
    async with recording() as server, open_scene(home, settings=settings) as scene:
        scene.stage.outside.names.zone[LISTED] = (server.address,)
        reply = await curl(scene, "-w", "%{http_connect}", f"https://{LISTED}/")
        assert (reply.code, reply.out) == (56, b"502")
        assert server.count == 0


async def test_what_is_not_in_the_list_is_refused(home: Path) -> None:
    async with open_scene(home) as scene:
        asked_before = scene.stage.outside.ledger.count()
        for url in ("https://google.com/", "https://127.0.0.1/", "https://ollama.com:8443/"):
            reply = await curl(scene, "-w", "%{http_connect}", url)
            assert (reply.code, reply.out) == (56, b"403"), url
        assert scene.stage.outside.ledger.count() == asked_before
