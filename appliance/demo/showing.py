"""A box to look at: a few machines that pull again and again, as slow as a LAN, until told to stop.

Now and then a model is let go of, so that what the page shows has all its colours: pulls from the
Internet, from another's download, and from the cache.
"""

import asyncio
import random
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import DemoModel, write_model
from appliance.demo.play import BOX_MIN_FREE, SPARE_BYTES, DiskShortError
from appliance.demo.report import format_size
from appliance.demo.stage import Stage
from appliance.protocol.digest import Digest

# Names that people know, and each one's part of the whole.
PARTS: Mapping[str, float] = {
    "llama3.2:3b": 0.3,
    "qwen3:4b": 0.25,
    "gemma3:1b": 0.2,
    "deepseek-r1:1.5b": 0.15,
    "nomic-embed-text": 0.1,
}
MACHINES = ("127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24")
LAN_BYTES_PER_SECOND = 40_000_000  # Of each machine: slow enough to be watched.
PAUSE_SECONDS_MAX = 8.0
FORGET_SECONDS = 30.0  # Between two models that the box lets go of.
NAP_SECONDS = 0.25  # How long a part holds its breath: far below what is a stall.

type Forget = Callable[[Path, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Showing:
    """What to show: models of `size_bytes` together, an Internet of so many bytes a second.

    `settings` are the box's, as in BoxProcess. `forget` has the box on a state directory let go of
    a model, or not, if it is in use.
    """

    size_bytes: int
    bytes_per_second: int | None
    settings: Mapping[str, str]
    forget: Forget
    machines: Sequence[str] = MACHINES
    lan_bytes_per_second: int = LAN_BYTES_PER_SECOND
    pause_seconds_max: float = PAUSE_SECONDS_MAX
    forget_seconds: float = FORGET_SECONDS


async def show(
    directory: Path,
    showing: Showing,
    now: Callable[[], float],
    say: Callable[[str], None],
    is_open: Callable[[Stage], None],
) -> None:
    """Show until cancelled; `is_open` is told once there is something to look at.

    Raises:
        DiskShortError: before anything is written.
        BoxFailedError: the box did not start, or did not stop as it should.
    """
    _check_disk(directory, showing.size_bytes)
    say(f"making {len(PARTS)} models of {format_size(showing.size_bytes)}")
    models = await asyncio.to_thread(_write_models, directory / "origin", showing.size_bytes)
    say("starting the Internet and the box")
    settings = {"CACHE_MIN_FREE": BOX_MIN_FREE, **showing.settings}
    async with Stage(
        directory, now, total_bytes_per_second=showing.bytes_per_second, settings=settings
    ) as stage:
        for model in models.values():
            stage.outside.publish(model)
        is_open(stage)
        try:
            async with asyncio.TaskGroup() as group:
                for address in showing.machines:
                    machine = _Machine(stage, showing, models, address, say)
                    group.create_task(machine.run())
                group.create_task(_forget_sometimes(stage, showing))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures


def _check_disk(directory: Path, size_bytes: int) -> None:
    needed_bytes = 2 * size_bytes + SPARE_BYTES  # The origin's, and the box's.
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        needed, free = format_size(needed_bytes), format_size(free_bytes)
        raise DiskShortError(f"the demo needs {needed} in {directory}, where {free} are free")


def _write_models(directory: Path, size_bytes: int) -> dict[str, DemoModel]:
    directory.mkdir()
    return {
        name: write_model(directory, name, [int(size_bytes * part)]) for name, part in PARTS.items()
    }


async def _forget_sometimes(stage: Stage, showing: Showing) -> None:
    chance = random.Random(1)  # noqa: S311  # Which model is pulled is no secret.
    while True:
        await asyncio.sleep(showing.forget_seconds)
        await showing.forget(stage.box.state_directory, chance.choice(list(PARTS)))


class _Machine:
    """A machine with an address of its own, on which somebody pulls one model after another."""

    def __init__(
        self,
        stage: Stage,
        showing: Showing,
        models: Mapping[str, DemoModel],
        address: str,
        say: Callable[[str], None],
    ) -> None:
        self._stage = stage
        self._showing = showing
        self._models = models
        self._address = address
        self._say = say
        self._directory = stage.directory / address
        self._around = replace(stage.box.surroundings, own_address=address)
        self._chance = random.Random(address)  # noqa: S311  # Nor which is let go of.

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0, self._showing.pause_seconds_max))
            name = self._chance.choice(list(self._models))
            try:
                await self._pull(name)
            except (PullError, DigestMismatchError) as error:  # As its user would see it.
                self._say(f"{self._address}: ollama pull {name}: {error}")
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)

    async def _pull(self, name: str) -> None:
        originals = {each.digest: each.path for each in self._models[name].blobs}
        client = Client(self._directory, self._around, originals=originals)
        pace = _Pace(self._showing.lan_bytes_per_second)
        pulling = asyncio.get_running_loop().run_in_executor(
            None, lambda: client.pull(name, progress=pace.keep)
        )
        try:
            await asyncio.shield(pulling)
        except asyncio.CancelledError:
            client.interrupt()
            with suppress(InterruptedPullError, PullError, DigestMismatchError):
                await pulling
            raise


@dataclass(slots=True)
class _Pace:
    """Slows the parts of one pull down to the pace of a line, as they report their progress."""

    bytes_per_second: int
    _began: float = field(default_factory=time.monotonic)
    _here: dict[Digest, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, digest: Digest, here_bytes: int, total_bytes: int) -> None:
        with self._lock:
            self._here[digest] = here_bytes
            due = self._began + sum(self._here.values()) / self.bytes_per_second
        ahead_seconds = due - time.monotonic()
        if ahead_seconds > 0:
            time.sleep(min(ahead_seconds, NAP_SECONDS))
