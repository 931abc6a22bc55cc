"""The demo itself: one client pulls without the box, several pull cold at once, one pulls warm."""

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.client import Client, Pull
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.models import DemoModel, write_model
from appliance.demo.report import Cold, Direct, Report, Warm, format_size
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
    """What to play. `bytes_per_second` is the rate of the Internet connection; None: no limit.

    `connection_bytes_per_second` is what the origin gives each of its own. `has_direct`: one client
    pulls without the box first, for comparison. `keeps`: clients write what they pull and hash it,
    as real ones do; else they compare each byte with the origin's and keep none.
    """

    size_bytes: int
    clients: int
    bytes_per_second: int | None
    has_direct: bool = False
    connection_bytes_per_second: int | None = None
    keeps: bool = True


@dataclass(frozen=True, slots=True)
class Audience:
    """Who watches; both may be called by any thread."""

    say: Callable[[str], None]
    """Told what happens, in a sentence."""
    advance: Callable[[str, int, int], None]
    """Told a client, the bytes that it has, and how many there are."""


def check_disk(directory: Path, plan: Plan) -> None:
    """Raise DiskShortError unless `directory` has room: origin, box, and the clients at once.

    A client's copy goes as soon as it is verified, but cold ones all end together. The direct
    client's is gone before they begin.
    """
    copies = 2 + (plan.clients if plan.keeps else 0)
    needed_bytes = plan.size_bytes * copies + SPARE_BYTES
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
        directory,
        now,
        total_bytes_per_second=plan.bytes_per_second,
        connection_bytes_per_second=plan.connection_bytes_per_second,
        settings=settings,
    ) as stage:
        stage.outside.publish(model)
        return await _Performance(stage, model, audience, plan).run()


@dataclass(frozen=True, slots=True)
class _Round:
    """Clients that pulled at once. Seconds are until the first and the last was done."""

    pulls: list[Pull | None]
    first_seconds: float
    seconds: float
    upstream_bytes: int

    @property
    def longest_silence_seconds(self) -> float:
        return max((each.longest_silence_seconds for each in self.pulls if each), default=0.0)


class _Performance:
    """All pulls, measured from outside: by the clock and by the Internet's own count."""

    def __init__(self, stage: Stage, model: DemoModel, audience: Audience, plan: Plan) -> None:
        self._stage = stage
        self._model = model
        self._audience = audience
        self._plan = plan
        originals = {each.digest: each.path for each in model.blobs}
        self._originals = None if plan.keeps else originals

    async def run(self) -> Report:
        plan = self._plan
        direct = await self._pull_directly() if plan.has_direct else None
        self._audience.say(f"cold: {plan.clients} at once, ollama pull {MODEL_NAME}")
        names = [f"client-{number}" for number in range(1, plan.clients + 1)]
        cold = await self._pull_all({name: self._open_client(name) for name in names})
        self._audience.say(f"warm: one more, ollama pull {MODEL_NAME}")
        warm = await self._pull_all({"client-warm": self._open_client("client-warm")})
        return Report(
            blob_bytes=self._model.blob_bytes,
            cold=Cold(
                plan.clients,
                cold.seconds,
                cold.upstream_bytes,
                cold.longest_silence_seconds,
                cold.first_seconds,
            ),
            warm=Warm(warm.seconds, warm.upstream_bytes),
            sha256_ok=all(
                self._is_right(pull) for each in (direct, cold, warm) if each for pull in each.pulls
            ),
            direct=Direct(direct.seconds, direct.longest_silence_seconds) if direct else None,
            keeps=plan.keeps,
        )

    def _open_client(self, name: str) -> Client:
        return self._stage.client(name, originals=self._originals)

    async def _pull_directly(self) -> _Round:
        self._audience.say(f"direct: one without the box, ollama pull {MODEL_NAME}")
        directory = self._stage.directory / "client-direct"
        outside = self._stage.outside.surroundings
        client = Client(directory, outside, originals=self._originals)
        return await self._pull_all({directory.name: client})

    async def _pull_all(self, clients: Mapping[str, Client]) -> _Round:
        """Pull with new clients at once; what they pulled is removed, on nobody's time."""
        ledger = self._stage.outside.ledger
        before_bytes, began = ledger.upstream_bytes, time.monotonic()
        done_seconds: list[float] = []

        def done(name: str) -> None:
            done_seconds.append(time.monotonic() - began)
            shutil.rmtree(self._stage.directory / name)  # Before the system writes it to the disk.

        pulls = await pull_at_once(clients, self._model.blob_bytes, self._audience, done)
        upstream_bytes = ledger.upstream_bytes - before_bytes
        return _Round(pulls, min(done_seconds), max(done_seconds), upstream_bytes)

    def _is_right(self, pull: Pull | None) -> bool:
        """Whether this pull brought the very model, by its own hashing and by the origin's."""
        if pull is None or not pull.sha256_ok or pull.manifest != self._model.digest:
            return False
        return {each.digest for each in pull.blobs} == {each.digest for each in self._model.blobs}


async def pull_at_once(
    clients: Mapping[str, Client],
    blob_bytes: int,
    audience: Audience,
    done: Callable[[str], None],
) -> list[Pull | None]:
    """Pull the demo's model with all clients at once; None for those that got wrong bytes.

    `done` is told each that came to its end, by any thread.
    Raises PullError as soon as one fails otherwise; the others are ended, too.
    """
    with ThreadPoolExecutor(len(clients), "client") as pool:
        try:
            async with asyncio.TaskGroup() as group:
                pulls = [
                    group.create_task(_pull(pool, name, client, blob_bytes, audience, done))
                    for name, client in clients.items()
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
    return [each.result() for each in pulls]


async def _pull(
    pool: ThreadPoolExecutor,
    name: str,
    client: Client,
    blob_bytes: int,
    audience: Audience,
    done: Callable[[str], None],
) -> Pull | None:
    here: dict[Digest, int] = {}

    def advance(digest: Digest, here_bytes: int, size_bytes: int) -> None:
        here[digest] = here_bytes
        audience.advance(name, sum(here.values()), blob_bytes)

    def pull() -> Pull | None:
        result = None
        try:
            result = client.pull(MODEL_NAME, progress=advance)
        except DigestMismatchError as error:
            audience.say(f"{name}: {error}")
        done(name)
        return result

    try:
        return await asyncio.get_running_loop().run_in_executor(pool, pull)
    finally:
        client.interrupt()  # Where the demo itself is ended, the thread must end, too.
