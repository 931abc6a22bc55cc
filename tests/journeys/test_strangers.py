"""Local subnets only: what each listener of a box gives to an address that is not local.

The box runs in a network namespace with its usual ports; the client on the other end of the cable
has addresses of its subnets, and one of each family that is from elsewhere.
"""

import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, DNSQuestion, DNSRecord

from tests.namespaces import Machine, cable

pytestmark = pytest.mark.journey

NAME = "registry.ollama.ai"
PATIENCE_SECONDS = 10.0
ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ends:
    """How one family leads to the box: its address, and a client's of its subnet and of none."""

    box: str
    neighbour: str
    stranger: str
    prefix: int


FAMILIES = {
    "IPv4": Ends("192.168.77.1", "192.168.77.2", "198.51.100.7", 24),
    "IPv6": Ends("fd00:77::1", "fd00:77::2", "2001:db8:5::7", 64),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The machine beside a running box."""
    with cable() as (box, client):
        for each in FAMILIES.values():
            address(box, f"{each.box}/{each.prefix}")
            address(client, f"{each.neighbour}/{each.prefix}")
            address(client, f"{each.stranger}/{128 if ':' in each.box else 32}")
            box.type("ip", "route", "add", each.stranger, "dev", box.interface)
        directory = tmp_path_factory.mktemp("box")
        with (directory / "box.log").open("wb") as log, start(box, directory, log.fileno()) as run:
            try:
                wait_until_ready(run, directory / "box.log")
                yield client
            finally:
                run.terminate()
                assert run.wait(30) == 0


def address(machine: Machine, text: str) -> None:
    words = ("nodad",) if ":" in text else ()
    machine.type("ip", "address", "add", text, "dev", machine.interface, *words)


def start(box: Machine, directory: Path, log: int) -> "subprocess.Popen[str]":
    settings = {"BOX_STATE_DIR": str(directory / "state"), "CACHE_OFFLINE": "true"}
    settings |= {"CONFIG": str(directory / "appliance.conf"), "DNS_UPSTREAM": "192.168.77.99"}
    (directory / "appliance.conf").touch()
    return subprocess.Popen(
        box.command(sys.executable, "-m", "appliance", "run"),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=directory,
        env={f"OLLAMA_APPLIANCE_{key}": value for key, value in settings.items()}
        | {"PYTHONPATH": str(ROOT)},
    )


def wait_until_ready(run: "subprocess.Popen[str]", log: Path) -> None:
    assert run.stdout is not None, "it is a pipe"
    said = []
    for line in run.stdout:
        said.append(line)
        if line.strip() == "ready":
            return
    pytest.fail(f"the box ended: {said} {log.read_text()}")


def dial(source: str, to: str, port: int) -> socket.socket:
    return socket.create_connection((to, port), PATIENCE_SECONDS, source_address=(source, 0))


def question() -> bytes:
    return bytes(DNSRecord(q=DNSQuestion(NAME, QTYPE.ANY)).pack())


def dns_by_udp(source: str, to: str) -> str:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_SECONDS)
        sock.bind((source, 0))
        sock.connect((to, 53))
        sock.send(question())
        return str(RCODE[DNSRecord.parse(sock.recv(4096)).header.rcode])


def dns_by_tcp(source: str, to: str) -> str:
    with dial(source, to, 53) as sock:
        sock.sendall(struct.pack("!H", len(question())) + question())
        with sock.makefile("rb") as file:
            size = int.from_bytes(file.read(2))
            return str(RCODE[DNSRecord.parse(file.read(size)).header.rcode])


def tls(source: str, to: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(dial(source, to, 443), server_hostname=NAME) as sock:
            return str(sock.version())
    except (ssl.SSLEOFError, ConnectionError):
        return "closed"


def status(port: int, request: bytes) -> Callable[[str, str], str]:
    def ask(source: str, to: str) -> str:
        with dial(source, to, port) as sock:
            try:
                sock.sendall(request)
                line = sock.makefile("rb").readline()
            except ConnectionError:
                return "closed"
            return line.split()[1].decode() if line else "closed"

    return ask


PAGE = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n"
LISTENERS = [
    pytest.param(dns_by_udp, "NOERROR", "REFUSED", id="DNS by UDP"),
    pytest.param(dns_by_tcp, "NOERROR", "REFUSED", id="DNS by TCP"),
    pytest.param(tls, "TLSv1.3", "closed", id="https"),
    pytest.param(status(443, b"\0" * 9), "closed", "closed", id="https, what is no hello"),
    pytest.param(
        status(3128, b"CONNECT google.com:443 HTTP/1.1\r\nHost: google.com\r\n\r\n"),
        *("403", "closed"),
        id="proxy",
    ),
    pytest.param(status(3128, b"\0\r\n\r\n"), "400", "closed", id="proxy, what is no request"),
    pytest.param(status(80, PAGE), "200", "403", id="http"),
    pytest.param(status(8080, PAGE), "200", "403", id="http on 8080"),
    pytest.param(status(80, b"\0\r\n\r\n"), "400", "403", id="http, what is no request"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("ask", "to_neighbour", "to_stranger"), LISTENERS)
def test_a_listener_serves_its_subnets_and_nobody_else(
    client: Machine,
    family: str,
    ask: Callable[[str, str], str],
    to_neighbour: str,
    to_stranger: str,
) -> None:
    at = FAMILIES[family]
    assert client.inside(lambda: ask(at.neighbour, at.box)) == to_neighbour
    assert client.inside(lambda: ask(at.stranger, at.box)) == to_stranger
