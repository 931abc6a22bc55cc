"""The demo itself: several clients pull a cold model at once, then one more pulls it warm."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.demo.client import Client, DigestMismatchError, Pull
from appliance.demo.models import DemoModel, write_model
from appliance.demo.report import Cold, Report, Warm, format_size
from appliance.demo.stage import Stage
from appliance.protocol.digest import Digest

MODEL_NAME = "demo"
SPARE_BYTES = 256 * 1024 * 1024  # The box's index, logs, and a file system's own needs.
BOX_MIN_FREE = "64MiB"  # The demo checks the disk itself; the box's own floor is for real ones.


class DiskShortError(Exception):
    """There is no room for the demo."""

    hint = "name a larger file system with TMPDIR=…, or a smaller model with --size"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to play. `bytes_per_second` is the rate of the Internet connection; None: no limit."""

    size_bytes: int
    clients: int
    bytes_per_second: int | None


@dataclass(frozen=True, slots=True)
class Audience:
    """Who watches; both may be called by any thread."""

    say: Callable[[str], None]
    """Told what happens, in a sentence."""
    advance: Callable[[str, int, int], None]
    """Told a client, the bytes that it has, and how many there are."""


def check_disk(directory: Path, plan: Plan) -> None:
    """Raise DiskShortError unless `directory` has room: origin, box, and the clients at once."""
    needed_bytes = plan.size_bytes * (2 + plan.clients) + SPARE_BYTES
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        needed, free = format_size(needed_bytes), format_size(free_bytes)
        raise DiskShortError(f"the demo needs {needed} in {directory}, where {free} are free")


async def play(directory: Path, plan: Plan, now: Callable[[], float], audience: Audience) -> Report:
    """Play `plan` in the empty `directory`; what it leaves there is the caller's to remove.

    Raises:
        DiskShortError: before anything is written.
        BoxFailedError: the box did not start, or did not stop as it should.
        PullError: a client failed, other than by wrong bytes.
    """
    check_disk(directory, plan)
    audience.say(f"making a model of {format_size(plan.size_bytes)}")
    origin = directory / "origin"
    origin.mkdir()
    model = await asyncio.to_thread(write_model, origin, MODEL_NAME, [plan.size_bytes])
    audience.say("starting the Internet and the box")
    settings = {"CACHE_MIN_FREE": BOX_MIN_FREE}
    async with Stage(
        directory, now, total_bytes_per_second=plan.bytes_per_second, settings=settings
    ) as stage:
        stage.outside.publish(model)
        return await _Performance(stage, model, audience).run(plan.clients)


class _Performance:
    """Both pulls, measured from outside: by the clock and by the Internet's own count."""

    def __init__(self, stage: Stage, model: DemoModel, audience: Audience) -> None:
        self._stage = stage
        self._model = model
        self._audience = audience

    async def run(self, clients: int) -> Report:
        self._audience.say(f"cold: {clients} at once, ollama pull {MODEL_NAME}")
        names = [f"client-{number}" for number in range(1, clients + 1)]
        cold, cold_seconds, cold_bytes = await self._pull_all(names)
        self._audience.say(f"warm: one more, ollama pull {MODEL_NAME}")
        warm, warm_seconds, warm_bytes = await self._pull_all(["client-warm"])
        silence_seconds = max((each.longest_silence_seconds for each in cold if each), default=0.0)
        return Report(
            blob_bytes=self._model.blob_bytes,
            cold=Cold(clients, cold_seconds, cold_bytes, silence_seconds),
            warm=Warm(warm_seconds, warm_bytes),
            sha256_ok=all(self._is_right(each) for each in (*cold, *warm)),
        )

    async def _pull_all(self, names: Sequence[str]) -> tuple[list[Pull | None], float, int]:
        """Pull with new clients at once: results, seconds, bytes from the Internet."""
        ledger = self._stage.outside.ledger
        before_bytes, began = ledger.upstream_bytes, time.monotonic()
        clients = {name: self._stage.client(name) for name in names}
        pulls = await pull_at_once(clients, self._model.blob_bytes, self._audience)
        seconds = time.monotonic() - began
        for name in names:  # The disk is needed again.
            await asyncio.to_thread(shutil.rmtree, self._stage.directory / name)
        return pulls, seconds, ledger.upstream_bytes - before_bytes

    def _is_right(self, pull: Pull | None) -> bool:
        """Whether this pull brought the very model, by its own hashing and by the origin's."""
        if pull is None or not pull.sha256_ok or pull.manifest != self._model.digest:
            return False
        return {each.digest for each in pull.blobs} == {each.digest for each in self._model.blobs}


async def pull_at_once(
    clients: Mapping[str, Client], blob_bytes: int, audience: Audience
) -> list[Pull | None]:
    """Pull the demo's model with all clients at once; None for those that got wrong bytes.

    Raises PullError as soon as one fails otherwise; the others are ended, too.
    """
    with ThreadPoolExecutor(len(clients), "client") as pool:
        try:
            async with asyncio.TaskGroup() as group:
                pulls = [
                    group.create_task(_pull(pool, name, client, blob_bytes, audience))
                    for name, client in clients.items()
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    return [each.result() for each in pulls]


async def _pull(
    pool: ThreadPoolExecutor, name: str, client: Client, blob_bytes: int, audience: Audience
) -> Pull | None:
    here: dict[Digest, int] = {}

    def advance(digest: Digest, here_bytes: int, size_bytes: int) -> None:
        here[digest] = here_bytes
        audience.advance(name, sum(here.values()), blob_bytes)

    try:
        pull = partial(client.pull, MODEL_NAME, progress=advance)
        return await asyncio.get_running_loop().run_in_executor(pool, pull)
    except DigestMismatchError as error:
        audience.say(f"{name}: {error}")
        return None
    finally:
        client.interrupt()  # Where the demo itself is ended, the thread must end, too.
