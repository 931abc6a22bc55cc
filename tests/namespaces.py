"""Machines with kernels of their own, as network namespaces: on a cable, or on a switch."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs import program

UP_SECONDS = 10.0  # The kernel takes a few hundredths.

_CABLE = "wire0"


@dataclass(frozen=True)
class Machine:
    """A machine with one interface, called `interface`."""

    name: str
    interface: str = _CABLE

    def type(self, *words: str) -> str:
        """Run a command there; its output."""
        done = subprocess.run(
            self.command(*words), check=True, capture_output=True, text=True, timeout=20
        )
        return done.stdout

    def command(self, *words: str) -> tuple[str, ...]:
        return (str(program("ip")), "netns", "exec", self.name, *words)

    def set(self, name: str, value: str) -> None:
        """Set something below net.ipv6.conf of its interface."""
        path = f"/proc/sys/net/ipv6/conf/{self.interface}/{name}"
        self.type("sh", "-c", f"echo {value} > {path}")

    def wait_until_up(self) -> None:
        """Return once its link-local address can be sent from."""
        until = time.monotonic() + UP_SECONDS
        while "fe80::" not in self.type("ip", "-6", "route", "show", "table", "local"):
            assert time.monotonic() < until, f"{self.interface} has no link-local address"
            time.sleep(0.01)

    def inside[T](self, work: Callable[[], T]) -> T:
        """Do something there; sockets that it opens stay there."""

        def enter() -> T:
            with Path("/run/netns", self.name).open() as file:
                os.setns(file.fileno(), os.CLONE_NEWNET)
            return work()

        with ThreadPoolExecutor(1) as threads:  # A thread may leave its process's network.
            return threads.submit(enter).result()


@contextmanager
def cable() -> Iterator[tuple[Machine, Machine]]:
    """A box and a client whose interfaces are up; neither kernel asks for routers by itself."""
    with _machines("box", "client") as (first, second):
        _link(first, _CABLE, second)
        for each in (first, second):
            _bring_up(each)
        for each in (first, second):
            each.wait_until_up()
        yield first, second


@contextmanager
def switch(*names: str) -> Iterator[tuple[Machine, ...]]:
    """Machines on one switch, with interfaces that are up. It is the first one's, as a router's."""
    with _machines(*names) as machines:
        router, *others = machines
        router.type("ip", "link", "add", _CABLE, "type", "bridge", "mcast_snooping", "0")
        for number, each in enumerate(others):
            _link(router, f"port{number}", each)
            router.type("ip", "link", "set", f"port{number}", "master", _CABLE, "up")
        for each in machines:
            _bring_up(each)
        for each in machines:
            each.wait_until_up()
        yield machines


@contextmanager
def _machines(*names: str) -> Iterator[tuple[Machine, ...]]:
    """Namespaces with nothing in them."""
    ip = str(program("ip"))
    machines = tuple(Machine(f"test-{os.getpid()}-{each}") for each in names)
    with ExitStack() as undo:
        for each in machines:
            made = subprocess.run(
                (ip, "netns", "add", each.name), check=False, capture_output=True, text=True
            )
            if made.returncode:
                pytest.skip(f"network namespaces are not permitted here: {made.stderr.strip()}")
            undo.callback(subprocess.run, (ip, "netns", "del", each.name), check=False)
        yield machines


def _link(first: Machine, interface: str, second: Machine) -> None:
    """A cable from `interface` of the first to that of the second."""
    ends = ("type", "veth", "peer", "name", second.interface, "netns", second.name)
    command = (str(program("ip")), "link", "add", interface, "netns", first.name, *ends)
    subprocess.run(command, check=True, timeout=20)


def _bring_up(machine: Machine) -> None:
    machine.set("accept_dad", "0")
    machine.set("router_solicitations", "0")
    machine.type("ip", "link", "set", "lo", "up")
    machine.type("ip", "link", "set", machine.interface, "up")
