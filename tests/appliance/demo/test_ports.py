"""Ports for servers that are yet to start: free, below the system's own, never given twice."""

import socket
from pathlib import Path

import pytest

from appliance.demo import ports
from appliance.demo.ports import PORTS, TRIES_MAX, choose_port

LOOPBACK = "127.0.0.1"
SYSTEM_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_none_is_given_twice_and_none_is_the_system_s() -> None:
    given = [choose_port() for _ in range(300)]
    assert len(set(given)) == len(given)
    assert all(port in PORTS for port in given)


@pytest.mark.skipif(not SYSTEM_RANGE.exists(), reason="this system has its range elsewhere")
def test_connections_that_go_out_have_others() -> None:
    first = int(SYSTEM_RANGE.read_text().split()[0])
    assert first >= PORTS.stop, f"net.ipv4.ip_local_port_range begins at {first}"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_one_that_is_taken_is_passed_over(
    kind: socket.SocketKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = choose_port()
    monkeypatch.setattr(ports, "_next", iter((PORTS.index(taken), PORTS.index(taken) + 7)))
    with socket.socket(type=kind) as somebody:
        somebody.bind((LOOPBACK, taken))
        if kind is socket.SOCK_STREAM:
            somebody.listen()
        assert choose_port() == PORTS[(PORTS.index(taken) + 7) % len(PORTS)]


def test_where_none_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = choose_port()
    monkeypatch.setattr(ports, "_next", iter([PORTS.index(taken)] * TRIES_MAX))
    with socket.create_server((LOOPBACK, taken)), pytest.raises(OSError, match="no port of"):
        choose_port()


def test_it_can_be_listened_on_again_at_once() -> None:
    port = choose_port()
    for _ in range(2):
        with (
            socket.create_server((LOOPBACK, port)) as server,
            socket.create_connection(server.getsockname(), timeout=5),
        ):
            server.accept()[0].close()
