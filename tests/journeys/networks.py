"""Networks with real addresses: a box on its proper ports, the Internet behind a router, clients.

Every machine is a network namespace with a kernel of its own; names are asked of real DNS, and
addresses dialled as they are. The router carries the switch, the scripted Internet, and a DNS
server of the network's own.
"""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from appliance.demo.names import NameServer
from appliance.demo.outside import CDN_NAME, REGISTRY_NAME, Outside, Sockets
from appliance.policy.addresses import Addresses
from appliance.policy.blob_addresses import choose_announced
from tests.namespaces import Machine, switch
from tests.programs import program

HOUSE = Path(__file__).parents[2]
ROUTER, BOX = "10.9.9.1", "10.9.9.9"
CLIENT, NEIGHBOUR, CONTAINER = "10.9.9.77", "10.9.9.78", "10.9.9.88"
BOX_V6, CLIENT_V6, NEIGHBOUR_V6 = "2001:db8:9::9", "2001:db8:9::77", "2001:db8:9::78"
BLOB_ADDRESS = "203.0.113.10"
REGISTRY, CDN, RESOLVER = "198.51.100.11", "198.51.100.12", "198.51.100.53"
INTERNET = Sockets(registry=(REGISTRY, 443), cdn=(CDN, 443), names=(RESOLVER, 53))
SECRET = b"s" * 32  # The announced address is made of it.
OPENING_SECONDS = 20.0


class Shape(StrEnum):
    """What addresses a network has."""

    PRIVATE = "private IPv4"
    ROUTED = "the same, and a routed address"
    GLOBAL = "the same, and global IPv6"
    ANNOUNCED = "the same, and an announced address"


@dataclass(frozen=True, slots=True)
class Network:
    """A network in which a box is ready, and the Internet behind it."""

    client: Machine
    neighbour: Machine
    container: Machine
    outside: Outside
    trusted: Path

    def read(self, path: str) -> str:
        """A page of the box's, as the client sees it."""
        curl = str(program("curl"))
        return self.client.type(curl, "-sS", "--max-time", "10", f"http://{BOX}{path}")


@contextmanager
def open_network(shape: Shape, home: Path) -> Iterator[Network]:
    """The network of this shape. Its state and the models lie in `home`."""
    state = home / "state"
    state.mkdir(mode=0o700)
    (state / "secret").touch(mode=0o600)
    (state / "secret").write_bytes(SECRET)
    with ExitStack() as stack:
        router, box, *machines = stack.enter_context(
            switch("router", "box", "client", "neighbour", "container")
        )
        client, neighbour, container = machines
        _give_addresses(router, box, client, neighbour, container)
        settings = _shape(shape, router, box, client, neighbour)
        outside = stack.enter_context(_internet(router, home))
        settings |= {"DNS_UPSTREAM": RESOLVER, "ORIGIN_CA_FILE": str(outside.ca_file)}
        settings["PROXY_TUNNEL"] = CDN_NAME
        stack.enter_context(running_box(box, state, settings))
        trusted = home / "trusted.pem"
        files = (state / "ca" / "ca.pem", outside.ca_file)
        trusted.write_bytes(b"".join(each.read_bytes() for each in files))
        if shape is Shape.ANNOUNCED:
            stack.enter_context(_announcing(box, state, settings))
        yield Network(client, neighbour, container, outside, trusted)


@contextmanager
def running_box(box: Machine, state: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """A box on its proper ports, ready."""
    command = box.command(sys.executable, "-m", "appliance", "--config", os.devnull, "run")
    with _process(command, state, settings, "ready"):
        yield


def _give_addresses(
    router: Machine, box: Machine, client: Machine, neighbour: Machine, container: Machine
) -> None:
    """Private IPv4 for everybody, and nothing of IPv6 for the container."""
    for address in (REGISTRY, CDN, RESOLVER):
        router.type("ip", "address", "add", f"{address}/32", "dev", "lo")
    homes = (
        *((router, ROUTER), (box, BOX), (client, CLIENT)),
        *((neighbour, NEIGHBOUR), (container, CONTAINER)),
    )
    for machine, address in homes:
        machine.type("ip", "address", "add", f"{address}/24", "dev", machine.interface)
    for machine in (box, client, neighbour, container):
        machine.type("ip", "route", "add", "default", "via", ROUTER)
    container.set("disable_ipv6", "1")


def _shape(
    shape: Shape, router: Machine, box: Machine, client: Machine, neighbour: Machine
) -> dict[str, str]:
    """Set up what is special to the network; returns the box's settings for it."""
    if shape is Shape.ROUTED:
        box.type("ip", "address", "add", f"{BLOB_ADDRESS}/32", "dev", "lo")
        router.type("ip", "route", "add", f"{BLOB_ADDRESS}/32", "via", BOX)
        router.type("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        return {"BLOBS_ADDRESS": BLOB_ADDRESS}
    if shape is Shape.GLOBAL:
        homes = ((box, BOX_V6), (client, CLIENT_V6), (neighbour, NEIGHBOUR_V6))
        for machine, address in homes:
            machine.type("ip", "address", "add", f"{address}/64", "dev", machine.interface)
    if shape is Shape.ANNOUNCED:
        client.set("accept_ra", "1")
        neighbour.set("accept_ra", "1")
        address = choose_announced(Addresses(), SECRET)
        box.type("ip", "address", "add", f"{address}/128", "dev", box.interface)
        return {"BLOBS_ANNOUNCE": "true"}
    return {}


@contextmanager
def _internet(router: Machine, directory: Path) -> Iterator[Outside]:
    """The scripted Internet at the router's addresses, and the network's own DNS: a Pi-hole's.

    That knows of the box what its operator typed: the registry's name, and no other.
    """
    opened = Future[tuple[Outside, Callable[[], object]]]()

    async def run() -> None:
        outside = Outside(directory, time.time, sockets=INTERNET)
        own = NameServer({REGISTRY_NAME: (BOX,), CDN_NAME: (CDN,)}, address=ROUTER, port=53)
        async with outside, own:
            ending, loop = asyncio.Event(), asyncio.get_running_loop()
            opened.set_result((outside, partial(loop.call_soon_threadsafe, ending.set)))
            await ending.wait()

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(router.inside, lambda: asyncio.run(run()))
        ended.add_done_callback(partial(_fail_too, opened))
        outside, end = opened.result(OPENING_SECONDS)
        try:
            yield outside
        finally:
            end()
            ended.result()


def _fail_too[T](opened: Future[T], ended: Future[None]) -> None:
    if not opened.done():
        opened.set_exception(ended.exception() or AssertionError("it ended at once"))


@contextmanager
def _announcing(box: Machine, state: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """The box's announcing service, once it has spoken."""
    command = box.command(sys.executable, "-m", "appliance.announce", "--config", os.devnull)
    with _process(command, state, settings, ".* is announced on .*"):
        yield


@contextmanager
def _process(
    command: tuple[str, ...], state: Path, settings: Mapping[str, str], ready: str
) -> Iterator[None]:
    """A process of the box's, from the line that `ready` matches on; it logs beside its state."""
    keys = {"BOX_STATE_DIR": str(state), **settings}
    environ = os.environ | {f"OLLAMA_APPLIANCE_{key}": value for key, value in keys.items()}
    log = state.with_name("box.log")
    with (
        log.open("a") as errors,
        subprocess.Popen(
            command, env=environ, cwd=HOUSE, text=True, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = "\n"
            while not re.fullmatch(ready, line.rstrip()):
                line = process.stdout.readline()
                assert line, f"it ended before it was ready; it said:\n{log.read_text('utf-8')}"
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
