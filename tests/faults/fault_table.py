"""The table of docs/OPERATING.md: what each fault does to pulls and to DNS, made for real.

`python -m tests.faults.fault_table` makes every fault on a box of its own and writes what came of
it into that document; `test_fail_open.py` does the same and holds the document to it.

The true registry listens at another loopback address, on the port of the box's https: whoever is
led past the box gets there without knowing.
"""

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
    suppress,
)
from dataclasses import dataclass, replace
from pathlib import Path

from appliance.demo.box import BoxFailedError, BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel, write_model
from appliance.demo.names import NameServerError, NameUnknownError, resolve
from appliance.demo.outside import REGISTRY_NAME, Outside
from appliance.standin import STANDS_IN
from tests.faults.listening import closed_listener
from tests.programs import UNPACKED, program

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "OPERATING.md"
TRUTH, BOX = "127.0.0.2", "127.0.0.1"
WEIGHTS_BYTES, UNDER_WAY_BYTES = 3_000_000, 300_000
SLOW_BYTES_PER_SECOND = 400_000
HABITS = Habits(part_bytes_min=200_000, pace=5)  # A stall is noticed after six seconds.
OPEN_SECONDS = 4.0  # Two, and what a loaded machine adds.
STILL_SECONDS = 4.0  # A pull of which nothing moves for so long waits; however slow the machine.
MENDED_SECONDS = 20.0

_TABLE = re.compile(r"(?<=<!-- faults -->\n).*?(?=<!-- end of faults -->)", re.DOTALL)
_HEAD = "| what breaks | a pull under way | a new one, held | a new one, not held | DNS gives |\n"


# How a pull that was under way may end, the best first.
ENDINGS = ("goes on", "waits, and goes on afterwards", "fails; typed again it goes on")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault, in the words of the table."""

    under_way: str
    held: str
    other: str
    dns: str

    @property
    def cells(self) -> tuple[str, ...]:
        return (self.under_way, self.held, self.other, self.dns)


class NotMendedError(Exception):
    """The fault is over, and the box does not serve as before."""


class Scene:
    """A box, the Internet around it, and machines that pull."""

    def __init__(self, directory: Path, outside: Outside, box: BoxProcess) -> None:
        self.directory = directory
        self.outside = outside
        self.box = box
        self._trusted = directory / "trusted.pem"
        self._clients = 0

    def client(self) -> Client:
        """A machine that has nothing yet, and trusts the box beside what all trust."""
        files = (self.box.ca_file, self.outside.ca_file)
        self._trusted.write_bytes(b"".join(each.read_bytes() for each in files))
        self._clients += 1
        around = replace(self.box.surroundings, ca_file=self._trusted)
        return Client(self.directory / f"client{self._clients}", around, HABITS)

    async def leads_to(self) -> str:
        """Where DNS leads who asks for the registry."""
        try:
            found = await asyncio.to_thread(resolve, (BOX, self.box.dns_port), REGISTRY_NAME)
        except (NameServerError, NameUnknownError, OSError):
            return ""
        return found[0]

    async def leads_within(self, address: str, seconds: float) -> bool:
        """Whether DNS comes to lead there."""
        until = time.monotonic() + seconds
        while await self.leads_to() != address:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.05)
        return True

    def crossed_bytes(self, model: DemoModel) -> int:
        """How many bytes of its weights crossed the Internet."""
        return self.outside.ledger.blob_bytes[model.blobs[0].digest]

    async def pull_anew(self, model: DemoModel) -> str:
        """Pull as a machine that has nothing; what came of it, in words."""
        before_bytes, address = self.crossed_bytes(model), await self.leads_to()
        try:
            await asyncio.to_thread(self.client().pull, model.repository.model)
        except PullError:
            return "fails"
        if address == TRUTH:
            return "past the box"
        has_crossed = self.crossed_bytes(model) > before_bytes
        return "through the box" if has_crossed else "from the cache"

    def next_life(self) -> BoxProcess:
        """Another process in the place of one that died."""
        old = self.box
        ports = {
            "TLS_PORT": old.tls_port,
            "DNS_PORT": old.dns_port,
            "WEB_PORTS": old.web_port,
            "PROXY_PORT": old.proxy_port,
        }
        settings = {key: str(port) for key, port in ports.items()}
        self.box = BoxProcess(self.directory, self.outside, settings)
        self.box.tls_port, self.box.dns_port = old.tls_port, old.dns_port
        self.box.web_port, self.box.proxy_port = old.web_port, old.proxy_port
        return self.box


type Make = Callable[[Scene], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks, for as long as what `make` makes is entered.

    `is_fatal`: it takes another process to mend it. `needs_clock`: the box's clock can be set.
    """

    label: str
    make: Make
    is_fatal: bool = False
    needs_clock: bool = False
    launcher: tuple[str, ...] = ()


def _closed(port: Callable[[BoxProcess], int]) -> Make:
    @asynccontextmanager
    async def make(scene: Scene) -> AsyncIterator[None]:
        with closed_listener(port(scene.box), scene.box.pid):
            yield

    return make


def _signalled(breaking: signal.Signals, mending: signal.Signals) -> Make:
    @asynccontextmanager
    async def make(scene: Scene) -> AsyncIterator[None]:
        os.kill(scene.box.pid, breaking)
        yield
        with suppress(ProcessLookupError):
            os.kill(scene.box.pid, mending)

    return make


@asynccontextmanager
async def _unmounted(scene: Scene) -> AsyncIterator[None]:
    """Leave what a disk was mounted on, an empty directory."""
    state = scene.box.state_directory
    aside = state.with_name("unmounted")
    state.rename(aside)
    state.mkdir()
    yield
    assert not any(state.iterdir()), "nothing was written there"
    state.rename(state.with_name("mount-point"))
    aside.rename(state)


@asynccontextmanager
async def _started_unmounted(scene: Scene) -> AsyncIterator[None]:
    """Start another life on a directory that was used, and whose disk is not mounted."""
    await scene.box.crash(with_dns=True)
    state = scene.box.state_directory
    aside = state.with_name("unmounted")
    state.rename(aside)
    (state / "ledger").mkdir(parents=True)
    await scene.box.restart(until=STANDS_IN)
    yield
    assert [path.name for path in state.rglob("*")] == ["ledger"], "nothing was written there"
    state.rename(state.with_name("mount-point"))
    aside.rename(state)


@asynccontextmanager
async def _overwritten(scene: Scene) -> AsyncIterator[None]:
    """Overwrite every page of the index; a restart mends it."""
    file = scene.box.state_directory / "index" / "data.mdb"
    with file.open("r+b") as index:
        index.write(os.urandom(file.stat().st_size))
    yield
    with suppress(ProcessLookupError):
        os.kill(scene.box.pid, signal.SIGTERM)


@asynccontextmanager
async def _origin_away(scene: Scene) -> AsyncIterator[None]:
    sites = (scene.outside.registry, scene.outside.cdn)
    for site in sites:
        await site.go_down()
    yield
    for site in sites:
        await site.come_up()


@asynccontextmanager
async def _names_away(scene: Scene) -> AsyncIterator[None]:
    await scene.outside.names.__aexit__(None, None, None)
    yield
    await scene.outside.names.__aenter__()


def _clock(shift: str) -> Make:
    @asynccontextmanager
    async def make(scene: Scene) -> AsyncIterator[None]:
        clock = scene.directory / "clock"
        clock.write_text(shift, "ascii")
        yield
        clock.write_text("+0d", "ascii")

    return make


_BLOCKABLE = (sys.executable, "-m", "tests.faults.blockable")
FAULTS = (
    Fault("https does not open", _closed(lambda box: box.tls_port)),
    Fault("http does not open", _closed(lambda box: box.web_port)),
    Fault("its loop hangs", _signalled(signal.SIGUSR1, signal.SIGUSR2), launcher=_BLOCKABLE),
    Fault("it stands still (SIGSTOP)", _signalled(signal.SIGSTOP, signal.SIGCONT)),
    Fault(
        "it is killed, and started again", _signalled(signal.SIGKILL, signal.SIGKILL), is_fatal=True
    ),
    Fault("its disk is gone", _unmounted),
    Fault("it starts without its disk", _started_unmounted),
    Fault("its index is overwritten, until a restart", _overwritten, is_fatal=True),
    Fault("its clock is a year ahead", _clock("+365d"), needs_clock=True),
    Fault("its clock is a year behind", _clock("-365d"), needs_clock=True),
    Fault("the DNS server it asks is away", _names_away),
    Fault("the registry and its CDN are away", _origin_away),
)


@asynccontextmanager
async def set_scene(directory: Path, fault: Fault) -> AsyncIterator[Scene]:
    """Set everything up for one fault."""
    environment = _clock_of(directory) if fault.needs_clock else {}
    async with Outside(directory, time.time) as outside:
        await outside.registry.go_down()
        outside.registry.address = TRUTH
        await outside.registry.come_up()
        outside.names.zone[REGISTRY_NAME] = (TRUTH,)
        settings = {"TLS_PORT": str(outside.registry.port)}
        box = BoxProcess(directory, outside, settings, environment, fault.launcher)
        box.tls_port = outside.registry.port
        with suppress(BoxFailedError) if fault.is_fatal else nullcontext():
            async with box:
                yield Scene(directory, outside, box)


def _clock_of(directory: Path) -> dict[str, str]:
    """The environment of a process whose clock a file sets."""
    library = "*/faketime/libfaketimeMT.so.1"
    program("faketime")
    (found, *_) = [
        *Path("/usr/lib").glob(library),
        *(UNPACKED.parent / "root" / "usr" / "lib").glob(library),
    ]
    clock = directory / "clock"
    clock.write_text("+0d", "ascii")
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class UnderWay:
    """A pull that a fault hits."""

    def __init__(self, scene: Scene) -> None:
        self._client = scene.client()
        self.has_begun = asyncio.Event()
        self.is_right = False
        self._moves = 0

    async def has_ended_or_stopped(self, running: asyncio.Task[None]) -> bool:
        """Wait until it has ended, or nothing moves any more; whether it has ended."""
        before = -1
        while not running.done() and self._moves != before:
            before = self._moves
            await asyncio.wait([running], timeout=STILL_SECONDS)
        return running.done()

    async def pull(self) -> None:
        """Pull, as somebody types it; it may fail."""
        loop = asyncio.get_running_loop()

        def note(_: object, here_bytes: int, total_bytes: int) -> None:
            self._moves += 1
            if here_bytes >= UNDER_WAY_BYTES:
                loop.call_soon_threadsafe(self.has_begun.set)

        with suppress(PullError):
            done = await asyncio.to_thread(self._client.pull, "moving", progress=note)
            self.is_right = done.sha256_ok


async def play(fault: Fault, directory: Path) -> Outcome:
    """Break it in the middle of a pull, pull anew, mend it. Raises NotMendedError."""
    async with (
        set_scene(directory, fault) as scene,
        AsyncExitStack() as lives,
        asyncio.TaskGroup() as group,
    ):
        held, _, other = await _publish(scene)
        await asyncio.to_thread(scene.client().pull, "held")
        scene.outside.line.total_bytes_per_second = SLOW_BYTES_PER_SECOND
        under_way = UnderWay(scene)
        running = group.create_task(under_way.pull())
        await under_way.has_begun.wait()
        async with fault.make(scene):
            has_opened = await scene.leads_within(TRUTH, OPEN_SECONDS)
            scene.outside.line.total_bytes_per_second = None
            new = [await scene.pull_anew(each) for each in (held, other)]
            has_ended = await under_way.has_ended_or_stopped(running)
        if fault.is_fatal:
            await scene.box.wait()
            await lives.enter_async_context(scene.next_life())
        await running
        await _see_mended(scene, held)
        dns = "the registry's address" if has_opened else "the box's address"
        return Outcome(await _tell(under_way, has_ended=has_ended), new[0], new[1], dns)


async def _see_mended(scene: Scene, held: DemoModel) -> None:
    """Wait until the cache serves again. A machine that is short of time may waver first."""
    until = time.monotonic() + MENDED_SECONDS
    while time.monotonic() < until:
        is_back = await scene.leads_within(BOX, MENDED_SECONDS)
        if is_back and await scene.pull_anew(held) == "from the cache":
            return
    raise NotMendedError("the box does not serve again")


async def _publish(scene: Scene) -> list[DemoModel]:
    models = [
        await asyncio.to_thread(write_model, scene.directory, name, [WEIGHTS_BYTES])
        for name in ("held", "moving", "other")
    ]
    for model in models:
        scene.outside.publish(model)
    return models


async def _tell(under_way: UnderWay, *, has_ended: bool) -> str:
    """What became of the pull that was hit."""
    if under_way.is_right:
        return ENDINGS[0] if has_ended else ENDINGS[1]
    await under_way.pull()
    if not under_way.is_right:
        raise NotMendedError("the pull that was hit fails again")
    return ENDINGS[2]


def format_table(outcomes: dict[str, Outcome]) -> str:
    """The Markdown of the table."""
    rows = (f"| {label} | {' | '.join(each.cells)} |\n" for label, each in outcomes.items())
    return f"{_HEAD}| --- | --- | --- | --- | --- |\n{''.join(rows)}"


def read_table(document: str) -> dict[str, Outcome]:
    """The outcomes that stand in the document."""
    match = _TABLE.search(document)
    assert match is not None, "the document has a table between its two marks"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in match[0].splitlines()]
    return {label: Outcome(*cells) for label, *cells in rows[2:]}


async def write_table() -> None:
    """Make every fault and write what came of it into the document."""
    outcomes = {}
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as home:
            outcomes[fault.label] = await play(fault, Path(home))
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _: format_table(outcomes), text), "utf-8")


if __name__ == "__main__":
    asyncio.run(write_table())
