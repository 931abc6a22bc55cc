"""`doctor --client` on a client of a real network: names, ports and addresses as they are there."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.networks import (
    BLOB_ADDRESS,
    BOX,
    RESOLVER,
    ROUTER,
    Network,
    Shape,
    open_network,
)
from tests.programs import HOUSE

# A network of its own takes some seconds; tests/appliance/client has each cause by itself.
pytestmark = [pytest.mark.journey, pytest.mark.slow]

BLOBS = "ollama-blobs.home.arpa"
# `ip netns exec` gives the command mounts of its own.
ENTER = 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"'


def examine(network: Network, home: Path, *servers: str) -> dict[str, dict[str, Any]]:
    """What is found on the client, with these servers in its resolv.conf."""
    resolv_conf = home / "resolv.conf"
    resolv_conf.write_text("".join(f"nameserver {each}\n" for each in servers), "utf-8")
    doctor = (sys.executable, "-m", "appliance", "doctor", "--client", "--address", BOX, "--json")
    command = network.client.command("sh", "-c", ENTER, "sh", str(resolv_conf), *doctor)
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=HOUSE
    )
    assert done.returncode == 1, done.stderr  # Nobody trusts the box's CA here.
    return {each["what"]: each for each in json.loads(done.stdout)}


def test_on_a_real_network_each_server_is_judged_by_what_it_leads_to(home: Path) -> None:
    with open_network(Shape.ROUTED, home) as network:
        well = examine(network, home, BOX)
        assert well.pop("this system: CA")["is_ok"] is False
        assert [each for each in well.values() if not each["is_ok"]] == []
        assert {f"dns {BOX}", f"dns {BOX}: {BLOBS}", "this machine", "https"} <= set(well)

        found = examine(network, home, ROUTER, RESOLVER)
        assert found[f"dns {ROUTER}"]["is_ok"]
        assert f"answer {BLOB_ADDRESS}" in found[f"dns {ROUTER}: {BLOBS}"]["hint"]
        assert "leads past the box: 198.51.100." in found[f"dns {RESOLVER}"]["detail"]
        assert "one of 2" in found[f"dns {RESOLVER}"]["detail"]
        assert found["this machine"]["is_ok"]  # For the first of them answered.

        found = examine(network, home, RESOLVER)
        assert not found["this machine"]["is_ok"]
