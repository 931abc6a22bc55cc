"""The newest Ollama's way to a blob, between two kernels: name, redirect, bytes; or no redirect."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from appliance.announce.announcer import Announcer, Pace
from appliance.announce.link import Link, open_socket
from appliance.announce.standing import hold_standing
from appliance.policy.addresses import Addresses
from appliance.policy.blob_addresses import choose_announced
from appliance.store.store import open_store
from tests.appliance.store.samples import CONTENT, LATEST, manifest_of, store_blob, tag_of
from tests.journeys.networks import running_box
from tests.namespaces import Machine, cable
from tests.programs import program

pytestmark = pytest.mark.journey

REGISTRY, BLOBS = "registry.ollama.ai", "ollama-blobs.home.arpa"
NEWEST, OLDER = "ollama/0.36.0 (amd64 linux) Go/go1.25", "ollama/0.31.1 (amd64 linux) Go/go1.24"
BOX, BOX_V6 = "10.9.9.9", "2001:db8:9::9"
QUICK = Pace(solicitation_interval=0.05, gap=0.05)


@dataclass
class Wire:
    """A running box and a client beside it, which trusts its CA."""

    box: Machine
    client: Machine
    state: Path

    def look_up(self, name: str, kind: str) -> list[str]:
        """What the box's DNS tells the client."""
        return self.client.type(str(program("dig")), "+short", f"@{BOX}", name, kind).split()

    def curl(self, user_agent: str, at: str, *words: str) -> bytes:
        """Ask with both names at these addresses, as the client's resolver found them."""
        registry, _, blobs = at.partition(" ")
        found = ((REGISTRY, registry), (BLOBS, blobs or registry))
        resolved = [w for name, at in found for w in ("--resolve", f"{name}:443:{at}")]
        trust = ("--cacert", str(self.state / "ca" / "ca.pem"), "--user-agent", user_agent)
        curl = str(program("curl"))
        command = self.client.command(curl, "-sS", "--max-time", "10", *trust, *resolved, *words)
        return subprocess.run(command, check=True, capture_output=True, timeout=20).stdout

    def location(self, user_agent: str, dialled: str) -> tuple[str, str]:
        """Where the client is sent for a blob; and the blob's digest."""
        base = f"https://{REGISTRY}/v2/{LATEST.repository}"
        manifest = json.loads(self.curl(user_agent, dialled, f"{base}/manifests/{LATEST.target}"))
        digest = manifest["layers"][0]["digest"]
        told = ("--output", os.devnull, "--write-out", "%{redirect_url}")
        return self.curl(user_agent, dialled, *told, f"{base}/blobs/{digest}").decode(), digest

    def fetches_by_the_blob_host(self, dialled: str, blobs: str) -> bool:
        """Whether the newest client gets its blob there, right to the bit."""
        location, digest = self.location(NEWEST, dialled)
        assert location.startswith(f"https://{BLOBS}/blobs/"), location
        body = self.curl(NEWEST, f"{dialled} {blobs}", "--range", "0-999999", location)
        return f"sha256:{sha256(body).hexdigest()}" == digest


def keep_model(state: Path) -> None:
    """Put a model into the store, just checked, as curl asks for it."""
    content = manifest_of(CONTENT)
    tag = tag_of(content, accept="*/*", stored_at=time.time())
    with open_store(state) as store:
        store_blob(store, CONTENT)
        asyncio.run(store.write_manifest(tag, content))


@contextmanager
def running(box: Machine, client: Machine, state: Path, **keys: str) -> Iterator[Wire]:
    """A box on its proper ports, ready, that holds one model. It has no Internet."""
    keep_model(state)
    keys = {
        "CACHE_OFFLINE": "true",
        "CACHE_FRESH_SECONDS": "3600",
        "DNS_UPSTREAM": "10.9.9.1",
        **keys,
    }
    with running_box(box, state, keys):
        yield Wire(box, client, state)


@pytest.fixture
def machines() -> Iterator[tuple[Machine, Machine]]:
    with cable() as (box, client):
        for each, address in ((box, f"{BOX}/24"), (client, "10.9.9.77/24")):
            each.type("ip", "address", "add", address, "dev", each.interface)
        yield box, client


def test_an_address_that_was_set_serves_the_newest_client_by_ipv4(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    box, client = machines
    box.type("ip", "address", "add", "203.0.113.10/32", "dev", "lo")
    client.type("ip", "route", "add", "203.0.113.10/32", "via", BOX)
    with running(box, client, tmp_path, BLOBS_ADDRESS="203.0.113.10") as wire:
        assert BLOBS not in wire.location(NEWEST, BOX)[0]  # DNS has led nobody here yet.
        assert wire.look_up(REGISTRY, "A") == [BOX]
        assert (wire.look_up(BLOBS, "A"), wire.look_up(BLOBS, "AAAA")) == (["203.0.113.10"], [])
        assert wire.fetches_by_the_blob_host(BOX, "203.0.113.10")
        assert wire.location(OLDER, BOX)[0].startswith(f"http://{BOX}/blobs/")


def test_the_box_s_ipv6_address_serves_those_that_came_by_it_and_no_others(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    box, client = machines
    for each, address in ((box, BOX_V6), (client, "2001:db8:9::77")):
        each.type("ip", "address", "add", f"{address}/64", "dev", each.interface)
    with running(box, client, tmp_path) as wire:
        assert wire.look_up(REGISTRY, "AAAA") == [BOX_V6]
        assert (wire.look_up(BLOBS, "A"), wire.look_up(BLOBS, "AAAA")) == ([], [BOX_V6])
        assert wire.fetches_by_the_blob_host(f"[{BOX_V6}]", f"[{BOX_V6}]")
        assert BLOBS not in wire.location(NEWEST, BOX)[0]


async def test_an_announced_address_serves_a_client_that_has_no_ipv6_of_its_own(
    machines: tuple[Machine, Machine], tmp_path: Path
) -> None:
    box, client = machines
    client.set("accept_ra", "1")
    (tmp_path / "secret").write_bytes(b"s" * 32)
    (tmp_path / "secret").chmod(0o600)
    address = choose_announced(Addresses(), b"s" * 32)
    box.type("ip", "address", "add", f"{address}/128", "dev", box.interface)
    with ExitStack() as stack:
        running_box = running(box, client, tmp_path, BLOBS_ANNOUNCE="true")
        wire = await asyncio.to_thread(stack.enter_context, running_box)
        assert wire.look_up(BLOBS, "AAAA") == [address]
        assert wire.look_up(REGISTRY, "A") == [BOX]
        assert BLOBS not in wire.location(NEWEST, BOX)[0]  # It is not announced yet.
        standing = stack.enter_context(hold_standing(tmp_path))
        link = Link(box.inside(lambda: open_socket(box.interface)))
        stack.callback(link.close)
        announcer = Announcer(
            link, address, is_held=lambda: True, interface=box.interface, pace=QUICK
        )
        spoken = asyncio.Event()

        def say(silent_because: str) -> None:
            standing.say(silent_because, address=address)
            spoken.set() if not silent_because else None

        async with asyncio.TaskGroup() as group:
            group.create_task(announcer.run(say))
            await spoken.wait()
            fetched = await asyncio.to_thread(wire.fetches_by_the_blob_host, BOX, f"[{address}]")
            announcer.stop()
        assert fetched
