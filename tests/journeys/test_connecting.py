"""The lines that connect a machine, as docs/CLIENTS.md has them: the page's own, and they work."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.demo.credentials import DemoAuthority
from appliance.policy.connecting import Reach, Steps, list_proxy, list_trust
from tests.journeys.client_table import DOCUMENT
from tests.programs import program
from tests.sandbox import Sandbox, open_sandbox

pytestmark = pytest.mark.journey

BOX = Reach(
    url="http://BOX",
    address="BOX",
    registry="registry.ollama.ai",
    blob_host="ollama-blobs.home.arpa",
    blob_address="",
    fingerprint="FINGERPRINT",
    thumbprint="THUMBPRINT",
    proxy_url="http://BOX:3128",
)
SERVICE = "[Service]\nExecStart=/bin/true\n"


def lines_of(section: str) -> list[str]:
    """The blocks of commands below a heading of the document."""
    _, _, rest = DOCUMENT.read_text("utf-8").partition(f"\n### {section}\n")
    below = re.split(r"\n###? ", rest)[0]
    return re.findall(r"^```sh\n(.*?)^```", below, re.MULTILINE | re.DOTALL)


@pytest.fixture
def machine(tmp_path: Path) -> Sandbox:
    """One whose sudo is nothing and whose curl fetches a CA, whatever it is asked."""
    sandbox = open_sandbox(tmp_path / "machine")
    ca_file = DemoAuthority(tmp_path).ca_file
    for name, body in (("sudo", 'exec "$@"'), ("curl", f"exec cat {ca_file}")):
        tool = sandbox.root / "bin" / name
        tool.write_text(f"#!/bin/sh\n{body}\n", "utf-8")
        tool.chmod(0o755)
    return sandbox


def type_in(machine: Sandbox, lines: str) -> str:
    command = machine.command("sh", "-e", "-c", lines)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


def test_the_linux_lines_trust_the_ca_and_their_undo_leaves_nothing(machine: Sandbox) -> None:
    trust, undo, _, _ = lines_of("Linux, as a service")
    before = machine.contents()
    ca = (machine.root.parent / "demo-internet-ca.pem").read_text("ascii").strip()
    assert "ingerprint=" in type_in(machine, trust)
    assert ca in (machine.root / "certs" / "ca-certificates.crt").read_text("ascii")
    type_in(machine, undo)
    assert machine.contents() == before
    assert machine.asked_of_systemd() == ["restart ollama"] * 2


def test_the_linux_lines_give_the_service_a_proxy_and_their_undo_takes_it(machine: Sandbox) -> None:
    _, _, proxy, undo = lines_of("Linux, as a service")
    units = machine.root / "systemd"
    before = machine.contents()
    type_in(machine, proxy)
    drop_in = units / "ollama.service.d" / "proxy.conf"
    assert drop_in.read_text("ascii") == "[Service]\nEnvironment=HTTPS_PROXY=http://BOX:3128\n"
    type_in(machine, undo)
    assert machine.contents() == before
    assert machine.asked_of_systemd() == ["daemon-reload", "restart ollama"] * 2


def test_systemd_understands_the_drop_in(machine: Sandbox) -> None:
    analyze = program("systemd-analyze")
    type_in(machine, lines_of("Linux, as a service")[2])
    unit = machine.root / "systemd" / "ollama.service"
    unit.write_text(SERVICE, "utf-8")
    assert verify(analyze, unit) == ""
    drop_in = unit.with_name("ollama.service.d") / "proxy.conf"
    drop_in.write_text(drop_in.read_text("ascii").replace("Environment", "Enviroment"), "ascii")
    assert "Enviroment" in verify(analyze, unit)


def verify(analyze: Path, unit: Path) -> str:
    """What systemd says of the unit, with its drop-ins."""
    done = subprocess.run(
        (analyze, "verify", "--man=no", unit),
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return "\n".join(line for line in done.stderr.splitlines() if "ollama" in line)


def test_the_document_and_the_page_have_the_same_lines() -> None:
    document = DOCUMENT.read_text("utf-8")
    told = {
        line
        for way in (list_trust, list_proxy)
        for each in way(BOX)
        for line in (*each.content, *each.lines, *each.undo)
        if "install." not in line
    }
    assert len(told) > 30
    spared = {line for each in list_trust(BOX) for line in each.lines} - {
        line for each in list_proxy(BOX) for line in each.lines
    }
    lacking = {line for line in told if f"\n{line}\n" not in document}
    assert lacking <= spared  # The document says what to leave out where no proxy is used.


@pytest.mark.parametrize("way", [list_trust, list_proxy])
def test_the_page_s_linux_lines_and_their_undo_leave_nothing(
    machine: Sandbox, way: Callable[[Reach], Iterator[Steps]]
) -> None:
    (steps,) = [each for each in way(BOX) if each.key == "linux-by-hand"]
    before = machine.contents()
    for line in steps.lines:
        type_in(machine, line)
    assert machine.contents() != before
    for line in steps.undo:
        type_in(machine, line)
    assert machine.contents() == before
