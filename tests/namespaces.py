"""Two machines on a cable, as network namespaces: a box and a client, with kernels of their own."""

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
    """One end of the cable, whose interface is called `interface`."""

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
    ip = str(program("ip"))
    first, second = (Machine(f"test-{os.getpid()}-{each}") for each in ("box", "client"))
    with ExitStack() as undo:
        for each in (first, second):
            made = subprocess.run(
                (ip, "netns", "add", each.name), check=False, capture_output=True, text=True
            )
            if made.returncode:
                pytest.skip(f"network namespaces are not permitted here: {made.stderr.strip()}")
            undo.callback(subprocess.run, (ip, "netns", "del", each.name), check=False)
        ends = ("type", "veth", "peer", "name", _CABLE, "netns", second.name)
        subprocess.run(
            (ip, "link", "add", _CABLE, "netns", first.name, *ends), check=True, timeout=20
        )
        for each in (first, second):
            each.set("accept_dad", "0")
            each.set("router_solicitations", "0")
            each.type("ip", "link", "set", "lo", "up")
            each.type("ip", "link", "set", _CABLE, "up")
        for each in (first, second):
            each.wait_until_up()
        yield first, second
