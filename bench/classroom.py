"""A classroom: 30 and 100 clients that pull one model at once, beside nginx's cache of slices.

The scripted origin gives 100 MB/s in all and redirects every blob to its CDN, as R2 does. Once the
model is cold; once the cache holds half of it: the box from a fill that was stopped there and a
restart, nginx from a request for the first half.

nginx keeps each slice's file open until the whole part is sent. So the model is as large as the
limit on open files lets nginx serve to that crowd, MODEL_SIZE_MIB_MAX at most.
"""

import asyncio
import json
import logging
import resource
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from appliance.demo.box import BoxProcess
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import REGISTRY_NAME, Outside
from appliance.store.encodings import decode_pending
from appliance.store.layout import Layout
from bench.crowd import Wanted
from bench.fetching import cut
from bench.machine import find_program
from bench.part import Setting
from bench.processes import cpu_seconds, watching
from bench.results import Result, Section, Table, bound, compare
from bench.servers import LOOPBACK
from bench.sink import Place, fetch_all
from bench.slices import run_slices

CLIENTS = (30, 100)
PARTS = 16
RATE = 100_000_000
MODEL_SIZE_MIB_MAX = 1024
SPARE_FILES = 1000  # nginx's connections to the origin, and its own.
UPSTREAM_GOAL, SILENCE_GOAL_SECONDS, FAIRNESS_GOAL = 1.01, 1.0, 1.1
POLL_SECONDS = 0.02
SETTINGS = {"CACHE_MIN_FREE": "64MiB"}
_HEADINGS = (
    *("", "first, s", "last, s", "last by first", "longest silence, s", "upstream"),
    *("peak RSS, MiB", "server's CPU-s", "clients' CPU-s", "broken parts"),
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """How one pull by a whole classroom went. `upstream` is in parts of what was missing."""

    first_seconds: float
    last_seconds: float
    fairness: float
    silence_seconds: float
    upstream: float
    peak_mib: float
    server_cpu_seconds: float
    client_cpu_seconds: float
    retries: float


@dataclass(frozen=True, slots=True)
class School:
    """What all lessons share."""

    outside: Outside
    model: DemoModel

    @property
    def digest(self) -> str:
        return str(self.model.blobs[0].digest)

    @property
    def size_bytes(self) -> int:
        return self.model.blobs[0].size_bytes


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that can be pulled through, for a while."""

    pid: int
    port: int
    follows: bool
    missing_bytes: int  # Of the model.


def measure(setting: Setting) -> Section:
    """Both crowds, cold and half cached."""
    sizes_mib = {
        clients: _find_size_mib(clients, setting) for clients in setting.choose(CLIENTS, (30,))
    }
    lessons = asyncio.run(_hold(setting, sizes_mib))
    rows: list[tuple[str | float, ...]] = [
        (f"{who}, {clients} clients, {sizes_mib[clients]} MiB {state}", *_middle(each))
        for (clients, state, who), each in lessons.items()
    ]
    return Section([*_judge(lessons)], [Table(_HEADINGS, rows)])


type _Key = tuple[int, str, str]
"""How many clients, cold or half, and through what."""


def _find_size_mib(clients: int, setting: Setting) -> int:
    """How many slices of 1 MiB nginx can have open for each client beside its sockets."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    slices = (files - SPARE_FILES - clients * PARTS) // clients
    return min(setting.choose(MODEL_SIZE_MIB_MAX, 96), max(PARTS, slices - slices % PARTS))


async def _hold(setting: Setting, sizes_mib: Mapping[int, int]) -> dict[_Key, list[Lesson]]:
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # Who is killed hangs up.
    room = setting.room("classroom")
    lessons: dict[_Key, list[Lesson]] = {}
    async with Outside(room, time.time, total_bytes_per_second=RATE) as outside:
        schools = {}
        for clients, size_mib in sizes_mib.items():
            sizes = [size_mib * 2**20]
            model = await asyncio.to_thread(write_model, room, f"bench-{clients}", sizes)
            outside.publish(model)
            schools[clients] = School(outside, model)
        for number in range(min(setting.rounds, setting.choose(3, 1))):
            for clients, school in schools.items():
                for state in ("cold", "half"):
                    for who, opened in (("box", _open_box), ("slices", _open_slices)):
                        place = room / f"{number}-{clients}-{state}-{who}"
                        place.mkdir()
                        async with opened(place, school, is_half=state == "half") as cache:
                            lesson = await _teach(school, cache, clients)
                        lessons.setdefault((clients, state, who), []).append(lesson)
    return lessons


@asynccontextmanager
async def _open_box(place: Path, school: School, *, is_half: bool) -> AsyncIterator[Cache]:
    missing_bytes = school.size_bytes
    if is_half:
        async with BoxProcess(place, school.outside, SETTINGS) as box:
            await _fill_half(school, Cache(box.pid, box.web_port, True, missing_bytes))
        missing_bytes -= _read_held_bytes(Layout(box.state_directory), school)
    async with BoxProcess(place, school.outside, SETTINGS) as box:
        yield Cache(box.pid, box.web_port, True, missing_bytes)


def _read_held_bytes(layout: Layout, school: School) -> int:
    """How much of the model the stopped box has kept: what was on its way then is lost."""
    note = decode_pending(layout.pending_note(school.model.blobs[0].digest).read_bytes())
    assert note is not None, "it has just been written"
    return note.held.size_bytes


async def _fill_half(school: School, cache: Cache) -> None:
    """Have one client pull until half has come, and leave."""
    before = school.outside.ledger.upstream_bytes
    client = await _start(school, cache, 1)
    half_bytes = school.size_bytes / 2
    while school.outside.ledger.upstream_bytes - before < half_bytes:  # noqa: ASYNC110  # A count.
        await asyncio.sleep(POLL_SECONDS)
    client.kill()
    await client.communicate()


@asynccontextmanager
async def _open_slices(place: Path, school: School, *, is_half: bool) -> AsyncIterator[Cache]:
    with run_slices(place, find_program("nginx"), school.outside) as (pid, port):
        if is_half:
            spans = cut(school.size_bytes // 2, PARTS)
            target = f"/v2/{school.model.repository}/blobs/{school.digest}"
            await asyncio.to_thread(fetch_all, Place(LOOPBACK, port, target), spans)
        yield Cache(pid, port, False, school.size_bytes // (2 if is_half else 1))


async def _start(school: School, cache: Cache, clients: int) -> asyncio.subprocess.Process:
    wanted = Wanted(
        host=LOOPBACK,
        port=cache.port,
        name=REGISTRY_NAME,
        model=str(school.model.repository),
        clients=clients,
        parts=PARTS,
        digest=school.digest,
        size_bytes=school.size_bytes,
        follows=cache.follows,
    )
    command = [sys.executable, "-m", "bench.crowd", json.dumps(asdict(wanted))]
    return await asyncio.create_subprocess_exec(*command, stdout=PIPE)


async def _teach(school: School, cache: Cache, clients: int) -> Lesson:
    ledger = school.outside.ledger
    before_bytes, before_cpu = ledger.upstream_bytes, cpu_seconds(cache.pid)
    with watching(cache.pid) as peak:
        crowd = await _start(school, cache, clients)
        said, _ = await crowd.communicate()
    if crowd.returncode:
        raise SystemExit(f"the crowd failed at port {cache.port}")
    seen = json.loads(said)
    first, last = min(seen["seconds"]), max(seen["seconds"])
    return Lesson(
        first_seconds=first,
        last_seconds=last,
        fairness=last / first,
        silence_seconds=seen["silence_seconds"],
        upstream=(ledger.upstream_bytes - before_bytes) / cache.missing_bytes,
        peak_mib=peak.tree_mib,
        server_cpu_seconds=cpu_seconds(cache.pid) - before_cpu,
        client_cpu_seconds=seen["cpu_seconds"],
        retries=seen["retries"],
    )


def _middle(lessons: list[Lesson]) -> list[float]:
    names = Lesson.__slots__
    return [float(median(getattr(each, name) for each in lessons)) for name in names]


def _judge(lessons: dict[_Key, list[Lesson]]) -> Iterator[Result]:
    for clients, state in {(clients, state): None for clients, state, _ in lessons}:
        ours, theirs = (Lesson(*_middle(lessons[clients, state, who])) for who in ("box", "slices"))
        part, what = f"CLASSROOM.{clients:03}.{state}", f"{clients} clients, {state}"
        yield compare(
            f"{part}.time",
            f"{what}: last done, s",
            *(ours.last_seconds, theirs.last_seconds),
            at_most=1.0,
        )
        yield bound(
            f"{part}.upstream",
            f"{what}: upstream, of what was missing",
            ours.upstream,
            at_most=UPSTREAM_GOAL,
            theirs=theirs.upstream,
        )
        yield bound(
            f"{part}.fairness",
            f"{what}: last by first",
            ours.fairness,
            at_most=FAIRNESS_GOAL,
            theirs=theirs.fairness,
        )
        yield bound(
            f"{part}.silence",
            f"{what}: longest silence, s",
            ours.silence_seconds,
            at_most=SILENCE_GOAL_SECONDS,
            theirs=theirs.silence_seconds,
        )
