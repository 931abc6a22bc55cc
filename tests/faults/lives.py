"""One state directory, and the many lives of the box on it: each ends by kill -9 but the last.

In each life the box recovers, is found sound by its own verify, pulls a new model and dies of what
is laid up for it. The last life serves every model ever pulled, with the right sha256.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

from appliance.control import BoxNotRunningError, ask_box, wish_of_box
from appliance.demo.box import BoxFailedError, BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import Habits
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.store.layout import Layout
from appliance.store.records import CHECKED_SPAN_BYTES
from appliance.store.store import open_store

WEIGHTS_BYTES = CHECKED_SPAN_BYTES + 500_000  # So that it has checksums, and a good span.
HABITS = Habits(part_bytes_min=4_000_000, pace=20)
LIFE_SECONDS = 50.0
PORT_TAKEN = ("cannot be had", "cannot be bound")


class Lives:
    """The lives on one state directory. Made by `open_lives`."""

    def __init__(self, home: Path, outside: Outside, random: Random) -> None:
        self._home = home
        self._state = home / "state"
        self._outside = outside
        self._random = random
        self._deaths = home / "deaths"
        self._deaths.touch()
        self._models: list[DemoModel] = []
        self._machines = 0

    @property
    def deaths(self) -> list[str]:
        """What the box died of, so far."""
        return self._deaths.read_text().splitlines()

    async def live(self, doom: str) -> None:
        """Let a box pull a new model until it dies of `doom`."""
        model, before = await self._publish(), self.deaths
        launcher = (sys.executable, "-m", "tests.faults.doomed", str(self._deaths), doom)

        async def use(box: BoxProcess) -> None:
            async with asyncio.timeout(LIFE_SECONDS):
                await self._use(box, model, is_spoiling=doom.startswith("withdraw:"))

        with suppress(BoxFailedError):  # So it says when it is left: it was killed.
            await self._run(use, launcher)
        assert self.deaths == [*before, doom], self._log()

    async def finish(self) -> None:
        """The last life: everything is there, right, and in order."""

        async def use(box: BoxProcess) -> None:
            await self._settle()
            for model in self._models:
                await self._pull(box, model)
            await self._settle()
            told = await wish_of_box(self._state, "verify", {})
            assert told["problems"] == [], self._log()

        await self._run(use)
        with open_store(self._state) as store:
            assert store.recovery == ()
            assert store.verify().problems == ()
            assert store.stats().pending_count == 0
            missing = [each for each in self._models if not store.find_blob(each.blobs[0].digest)]
            assert missing == [], f"{store.lessons()}\n{self._log()}"

    async def begin(self) -> None:
        """A first life, which ends well, so that there is something to lose."""
        model = await self._publish()

        async def use(box: BoxProcess) -> None:
            await self._pull(box, model)
            await self._settle()

        await self._run(use)

    async def _run(
        self, use: Callable[[BoxProcess], Awaitable[None]], launcher: Sequence[str] = ()
    ) -> None:
        """Run a box, on other ports where somebody was quicker to take those that were free."""
        while True:
            try:
                async with BoxProcess(self._home, self._outside, launcher=launcher) as box:
                    return await use(box)
            except BoxFailedError as error:
                if not any(each in str(error) for each in PORT_TAKEN):
                    raise

    async def _publish(self) -> DemoModel:
        name = f"life-{len(self._models)}:1b"
        model = await asyncio.to_thread(write_model, self._home, name, [WEIGHTS_BYTES])
        self._outside.publish(model)
        self._models.append(model)
        return model

    async def _use(self, box: BoxProcess, model: DemoModel, *, is_spoiling: bool) -> None:
        try:
            await self._settle()
            if is_spoiling:
                await asyncio.to_thread(self._spoil)
                await wish_of_box(self._state, "scrub", {})
            await self._pull(box, model)
        except (BoxNotRunningError, PullError, InterruptedPullError):
            pass  # It died on the way.
        await box.wait()

    async def _settle(self) -> None:
        """Wait for what an earlier life left; all must then be right, or be mended."""
        while (await ask_box(self._state, "status"))["fills"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        scrubbed = await wish_of_box(self._state, "scrub", {})
        assert all(each["mended"] for each in scrubbed["damaged"]), self._log()
        told = await wish_of_box(self._state, "verify", {})
        assert told["problems"] == [], self._log()

    async def _pull(self, box: BoxProcess, model: DemoModel) -> None:
        """As a new machine: one that was here before has parts of its own, and asks for fewer."""
        self._machines += 1
        home = self._home / f"machine-{self._machines}"
        client = Client(home, box.surroundings, HABITS)
        name = f"{model.repository.model}:{model.tags[0]}"
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._interrupt(box, client))
            fault = await asyncio.to_thread(find_fault, client, name)
            watch.cancel()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        if fault is not None:
            raise fault

    async def _interrupt(self, box: BoxProcess, client: Client) -> None:
        """No machine on this network waits for a box that is dead."""
        await box.wait()
        client.interrupt()

    def _spoil(self) -> None:
        """Turn one bit of a blob that is held."""
        held = [Layout(self._state).blob(each.blobs[0].digest) for each in self._models]
        path = self._random.choice([each for each in held if each.exists()])
        with path.open("r+b") as file:
            offset = self._random.randrange(path.stat().st_size)
            (byte,) = os.pread(file.fileno(), 1, offset)
            os.pwrite(file.fileno(), bytes([byte ^ 1]), offset)

    def _log(self) -> str:
        log = (self._home / "box.log").read_text("utf-8", "replace").splitlines()[-40:]
        return "\n".join([*self.deaths[-5:], *log])


def find_fault(client: Client, name: str) -> Exception | None:
    """Pull; what went wrong, where it was the pull itself."""
    try:
        assert client.pull(name).sha256_ok
    except (PullError, InterruptedPullError) as fault:
        return fault
    return None


@asynccontextmanager
async def open_lives(home: Path, random: Random) -> AsyncIterator[Lives]:
    """A first life behind it, the rest before it; the last one is lived when this is left."""
    async with Outside(home, time.time) as outside:
        lives = Lives(home, outside, random)
        await lives.begin()
        yield lives
        await lives.finish()
