"""Whole boxes on loopback, as their operators configure them."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance import supervisor
from appliance.config import Config, load_config
from appliance.demo.ports import choose_port

LOOPBACK = "127.0.0.1"
PREFIX = "OLLAMA_APPLIANCE_"


@asynccontextmanager
async def taken_port() -> AsyncIterator[int]:
    """A port that somebody else listens on, by TCP and UDP."""
    port = choose_port()
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((LOOPBACK, port))
        tcp.listen()
        udp.bind((LOOPBACK, port))
        yield port


def environment(state_dir: Path, **more: str) -> Mapping[str, str]:
    """The variables of a box on loopback without an Internet; `more` goes before."""
    keys = {
        "BOX_STATE_DIR": str(state_dir),
        "BOX_ADDRESS": LOOPBACK,
        "BOX_LISTEN": LOOPBACK,
        "DNS_PORT": str(choose_port()),
        "DNS_UPSTREAM": f"{LOOPBACK}:9",
        "TLS_PORT": str(choose_port()),
        "PROXY_PORT": str(choose_port()),
        "WEB_PORTS": str(choose_port()),
        "CACHE_OFFLINE": "true",
    }
    return {f"{PREFIX}{key}": value for key, value in (keys | more).items()}


def make_config(state_dir: Path, **more: str) -> Config:
    return load_config(Path(os.devnull), environment(state_dir, **more))


@dataclass
class RunningBox:
    """A box in this very process, what it said, and where it is."""

    config: Config
    said: list[str]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.config.web.ports[0]}"

    @property
    def dns_pid(self) -> int:
        """0 in the moment in which one that is replaced has not written its own yet."""
        return int((self.config.state_dir / "dns.lock").read_text() or 0)


@asynccontextmanager
async def running_box(config: Config) -> AsyncIterator[RunningBox]:
    """Run a box until it is ready, and stop it by SIGTERM."""
    box = RunningBox(config, [])
    is_ready = asyncio.Event()
    loop = asyncio.get_running_loop()

    def say(line: str) -> None:
        box.said.append(line)
        if line == "ready":
            loop.call_soon_threadsafe(is_ready.set)

    async with asyncio.TaskGroup() as group:
        running = group.create_task(supervisor._run(config, say))
        ready = group.create_task(is_ready.wait())
        await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
        try:
            assert is_ready.is_set(), "it ended before it was ready"
            yield box
        finally:
            ready.cancel()
            if not running.done():
                os.kill(os.getpid(), signal.SIGTERM)
