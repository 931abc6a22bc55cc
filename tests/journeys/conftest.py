"""What journeys share: a stage with a model on it, and commands run beside it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel, write_model
from appliance.demo.stage import Stage

WEIGHTS_BYTES = 3_000_000  # Several parts, and a pull of them takes a fraction of a second.
HABITS = Habits(part_bytes_min=200_000, pace=20)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command came to."""

    code: int
    out: bytes
    err: str


async def run(*command: str | Path, stdin: bytes = b"") -> Outcome:
    """Run a real program to its end."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    return Outcome(process.returncode or 0, out, err.decode("utf-8", "replace"))


async def until(is_so: Callable[[], bool]) -> None:
    """Go on once `is_so`; the test's own timeout ends a wait that never does."""
    while not is_so():  # noqa: ASYNC110  # What is waited for is a counter of another process's.
        await asyncio.sleep(0.001)


class Scene:
    """A stage, the model on it, and what tests ask of both."""

    def __init__(self, stage: Stage, model: DemoModel) -> None:
        self.stage = stage
        self.model = model
        self.weights = model.blobs[0]

    @property
    def upstream_bytes(self) -> int:
        return self.stage.outside.ledger.upstream_bytes

    async def pull(self, client: str, *, insecure: bool = False, habits: Habits = HABITS) -> Path:
        """Pull the model as an emulated client and return its copy of the weights."""
        puller = self.stage.client(client, habits)
        name = f"{self.model.repository.model}:{self.model.tags[0]}"
        pull = await asyncio.to_thread(puller.pull, name, insecure=insecure)
        assert pull.sha256_ok
        return puller.blob_path(self.weights.digest)

    async def ask(self, path: str) -> Any:
        """A JSON document of the box's."""
        reply = await run("curl", "-fsS", f"{self.stage.box.web_url}{path}")
        assert reply.code == 0, reply.err
        return json.loads(reply.out)

    async def stats_once_served(self, size_bytes: int) -> Any:
        """`/cache/stats` as soon as it tells of so many bytes served.

        A client has its last byte a moment before the box has counted it.
        """
        while (stats := await self.ask("/cache/stats"))["served_bytes"] < size_bytes:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        return stats


@asynccontextmanager
async def open_scene(directory: Path, **options: Any) -> AsyncIterator[Scene]:
    """Set a stage in `directory` with a small model published on its registry."""
    async with Stage(directory, time.time, **options) as stage:
        model = await asyncio.to_thread(write_model, directory, "tiny:1b", [WEIGHTS_BYTES])
        stage.outside.publish(model)
        yield Scene(stage, model)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a stage is set: short enough for a socket's path."""
    return tmp_path
