"""What a service manager hears, on a socket of its kind."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.notify import Notifier


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(5)
        yield listening


def test_it_hears_every_fact_at_once(manager: socket.socket, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)
    Notifier(path).tell("READY=1", "STATUS=gut, größtenteils")
    assert manager.recv(1024).decode() == "READY=1\nSTATUS=gut, größtenteils"


def test_an_abstract_socket_is_found(manager: socket.socket, tmp_path: Path) -> None:
    manager.bind(f"\0{tmp_path}")
    Notifier(f"@{tmp_path}").tell("WATCHDOG=1")
    assert manager.recv(1024) == b"WATCHDOG=1"


def test_nobody_and_nobody_any_more_are_no_fault(tmp_path: Path) -> None:
    Notifier("").tell("WATCHDOG=1")
    Notifier(str(tmp_path / "gone")).tell("WATCHDOG=1")


def test_a_manager_that_does_not_read_is_not_waited_for(
    manager: socket.socket, tmp_path: Path
) -> None:
    path = str(tmp_path / "notify")
    manager.bind(path)
    for _ in range(10_000):
        Notifier(path).tell("WATCHDOG=1")
