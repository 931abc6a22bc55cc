"""Other people's DNS servers, real ones, on loopback: one upstream each, and some lines of ours.

What stands around the lines is the least that such a server starts with, as it is before anybody
points it at a box.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.ports import choose_port
from tests.appliance.dns.questions import by_udp, packet
from tests.programs import program

LOOPBACK = "127.0.0.1"
READY_SECONDS = 20.0  # Named takes a quarter of one on a machine of its own.


@dataclass(frozen=True)
class Place:
    """Where a server is to listen, whom it asks, and where its files are."""

    folder: Path
    port: int
    upstream: tuple[str, int]
    options: tuple[str, ...] = ("dnssec-validation no;",)
    """For named, what else stands in its options."""


def _dnsmasq(place: Place, lines: tuple[str, ...]) -> list[str]:
    file = place.folder / "dnsmasq.conf"
    upstream = "{}#{}".format(*place.upstream)
    settings = (
        "no-daemon", "no-resolv", "no-hosts", "user=", "pid-file", "bind-interfaces",
        f"listen-address={LOOPBACK}", f"port={place.port}", f"server={upstream}",
    )  # fmt: skip
    _write(file, (*settings, *lines))
    return [f"--conf-file={file}"]


def _unbound(place: Place, lines: tuple[str, ...]) -> list[str]:
    ours = place.folder / "ours.conf"
    _write(ours, lines)
    file = place.folder / "unbound.conf"
    _write(
        file,
        (
            "server:", '  chroot: ""', '  username: ""', '  pidfile: ""', '  directory: ""',
            "  use-syslog: no",
            f"  interface: {LOOPBACK}@{place.port}", "  do-not-query-localhost: no",
            '  module-config: "iterator"', "forward-zone:", '  name: "."',
            "  forward-addr: {}@{}".format(*place.upstream),
            "remote-control:", "  control-enable: no", f'include: "{ours}"',
        ),
    )  # fmt: skip
    return ["-d", "-c", str(file)]


def _named(place: Place, lines: tuple[str, ...]) -> list[str]:
    """`lines` are typed in a shell and write to the folder of this very server."""
    ours = place.folder / "named.conf.local"
    ours.touch()
    typed = "\n".join(lines).replace("/etc/bind", str(place.folder)).replace("sudo ", "")
    script = place.folder / "typed.sh"
    _write(script, ("set -e", typed))
    file = place.folder / "named.conf"
    address, port = place.upstream
    _write(
        file,
        (
            "options {", f'directory "{place.folder}";', "pid-file none;", "session-keyfile none;",
            f"listen-on port {place.port} {{ {LOOPBACK}; }};", "listen-on-v6 { none; };",
            f"forwarders {{ {address} port {port}; }};", "forward only;",
            *place.options, "};", "controls { };", f'include "{ours}";',
        ),
    )  # fmt: skip
    return ["-g", "-c", str(file)]


SERVERS: Mapping[str, Callable[[Place, tuple[str, ...]], list[str]]] = {
    "dnsmasq": _dnsmasq,
    "unbound": _unbound,
    "named": _named,
}


# Named answers for its own zones with failures until they are loaded.
SAID_WHEN_READY = {"named": " running\n"}


@asynccontextmanager
async def running(
    name: str,
    folder: Path,
    upstream: tuple[str, int],
    lines: Iterable[str] = (),
    options: tuple[str, ...] = Place.options,
) -> AsyncIterator[tuple[str, int]]:
    """Run the server; where it listens, once it answers."""
    place = Place(folder, choose_port(), upstream, options)
    words = SERVERS[name](place, tuple(lines))
    if (script := folder / "typed.sh").exists():
        typing = await asyncio.create_subprocess_exec(
            "sh", str(script), stdout=asyncio.subprocess.DEVNULL
        )
        assert await typing.wait() == 0
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            str(program(name)), *words, stdout=log, stderr=log
        )
        try:
            await _ready(name, (LOOPBACK, place.port), process, folder / "log")
            yield LOOPBACK, place.port
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(
    name: str, at: tuple[str, int], process: asyncio.subprocess.Process, log: Path
) -> None:
    """Return once it answers and has said that it is ready; fail with its log where it ended."""
    async with asyncio.timeout(READY_SECONDS):
        while not (SAID_WHEN_READY.get(name, "") in _read(log) and await _answers(at)):
            assert process.returncode is None, _read(log)
            await asyncio.sleep(0.02)


async def _answers(at: tuple[str, int]) -> bool:
    try:
        async with asyncio.timeout(0.5):
            await by_udp(at, packet("www.example"))
    except OSError:
        return False
    return True


def _read(file: Path) -> str:
    return file.read_text("utf-8", "replace")


def _write(file: Path, lines: Iterable[str]) -> None:
    file.write_text("\n".join(lines) + "\n", "utf-8")
