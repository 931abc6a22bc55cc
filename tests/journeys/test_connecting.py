"""The lines that connect a machine, as docs/CLIENTS.md has them: the page's own, and they work."""

import html
import re
import subprocess
from pathlib import Path

import pytest

from appliance.demo.credentials import DemoAuthority
from tests.journeys.client_table import DOCUMENT
from tests.programs import program
from tests.sandbox import Sandbox, open_sandbox

pytestmark = pytest.mark.journey

PAGE = Path(__file__).parents[2] / "appliance" / "web" / "assets" / "connect.html"
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
    page = html.unescape(PAGE.read_text("utf-8"))
    page = page.replace("{{ base_url }}", "http://BOX").replace(
        "{{ proxy_url }}", "http://BOX:3128"
    )
    document = DOCUMENT.read_text("utf-8")
    told = [
        line
        for block in re.findall(r"<pre><code>(.*?)</code></pre>", page, re.DOTALL)
        for line in block.splitlines()
        if re.match(r"sudo|curl|openssl|printf|docker|launchctl|certutil|setx", line)
    ]
    assert len(told) > 10
    plain = document.replace("-e HTTPS_PROXY=http://BOX:3128 ", "")  # As the document says.
    lacking = [each for each in told if each not in document and each not in plain]
    assert [each for each in lacking if "install.sh" not in each] == []
