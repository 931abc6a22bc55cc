"""A box under siege: sockets that idle and readers that crawl, beside clients that pull.

How fast it still is, is judged by a race: another box, with nobody at it, sends the same blob to
another client at the same time on the same machine. What counts is bytes, and no clock.
"""

import asyncio
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from appliance.demo.models import write_model
from appliance.demo.stage import Stage
from appliance.protocol.digest import Digest
from tests.journeys.conftest import HABITS, Scene
from tests.journeys.test_bounds import MEMORY_BYTES_MAX, MIB, learn_manifest, peak_memory_bytes

pytestmark = pytest.mark.journey

IDLE_COUNT = 1000
TLS_COUNT = 200  # Of those: some that have shaken hands, and asked for something.
SLOW_COUNT = 64
LARGE_BYTES = 64 * MIB
RACES_MAX = 5  # One may be lost to what else the machine does.
SHARE_MIN = 0.6  # Of the bytes, once the other client has all of them.


async def test_a_thousand_idle_sockets_and_64_slow_readers_cost_a_good_pull_nothing(
    home: Path,
) -> None:
    raise_own_limit()
    (home / "calm").mkdir()
    async with (
        Stage(home, time.time) as stage,
        Stage(home / "calm", time.time) as calm,
        AsyncExitStack() as held,
    ):
        large = await asyncio.to_thread(write_model, home, "large:1b", [LARGE_BYTES])
        tiny = await asyncio.to_thread(write_model, home, "tiny:1b", [3_000_000])
        for model in (large, tiny):
            stage.outside.publish(model)
        calm.outside.publish(large)
        scene = Scene(stage, large)
        await scene.pull("first")  # So that slow readers crawl along a file.
        await Scene(calm, large).pull("first")
        idle = await held.enter_async_context(besiege(stage))
        slow = [
            await held.enter_async_context(crawl(stage, large.blobs[0].digest))
            for _ in range(SLOW_COUNT)
        ]
        shares = [0.0]
        while max(shares) < SHARE_MIN:
            assert len(shares) <= RACES_MAX, shares
            shares.append(await race(stage, calm, str(len(shares))))
        await learn_manifest(stage, tiny)
        cold = await asyncio.to_thread(stage.client("cold", HABITS).pull, "tiny:1b")
        assert cold.sha256_ok
        # The others are closed when they have said nothing for ten seconds.
        assert not any(each.at_eof() for each in (*idle[:TLS_COUNT], *slow))
        assert peak_memory_bytes(stage.box.pid) <= MEMORY_BYTES_MAX
        assert (await scene.ask("/health"))["status"] != "unhealthy"


async def race(besieged: Stage, calm: Stage, name: str) -> float:
    """Pull from both at once; the besieged client's share when the other has everything."""
    here_bytes = [0]
    share = [1.0]  # If it was first.

    def note(_: Digest, bytes_now: int, __: int) -> None:
        here_bytes[0] = max(here_bytes[0], bytes_now)

    def pull_calmly() -> bool:
        done = calm.client(f"race {name}", HABITS).pull("large:1b")
        share[0] = min(1.0, here_bytes[0] / LARGE_BYTES)
        return done.sha256_ok

    def pull_besieged() -> bool:
        return besieged.client(f"race {name}", HABITS).pull("large:1b", progress=note).sha256_ok

    assert all(await asyncio.gather(*map(asyncio.to_thread, (pull_calmly, pull_besieged))))
    return share[0]


def raise_own_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE_COUNT
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this process may open {hard} files only")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@asynccontextmanager
async def besiege(stage: Stage) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Idle connections to every door. Those within TLS have asked once; the others say nothing."""
    box = stage.box
    context = ssl.create_default_context(cafile=str(box.ca_file))
    name = "registry.ollama.ai"
    ports = (box.tls_port, box.web_port, box.proxy_port)
    async with AsyncExitStack() as held:
        idle = []
        for number in range(IDLE_COUNT):
            is_tls = number < TLS_COUNT
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                box.tls_port if is_tls else ports[number % len(ports)],
                ssl=context if is_tls else None,
                server_hostname=name if is_tls else None,
            )
            held.push_async_callback(hang_up, writer)
            if is_tls:
                writer.write(f"GET /v2/ HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
            idle.append(reader)
        yield idle


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def crawl(stage: Stage, digest: Digest) -> AsyncIterator[asyncio.StreamReader]:
    """A reader of a whole blob that takes a few kilobytes and then nothing more."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", stage.box.web_port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    path = f"/v2/library/large/blobs/{digest}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: registry.ollama.ai\r\n\r\n".encode())
    try:
        assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
        yield reader
    finally:
        await hang_up(writer)
