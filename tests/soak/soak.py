"""The soak: a real box, sixty clients, bad weather, kills and a restless operator, all at once.

The box is killed now and then in the first half. Its last life then has the second half to itself,
so that what leaks has time to show. At the end the sky clears: everybody pulls once more, all
leave, the box comes to rest and is stopped, and its books are read.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.assembly import USER_AGENT
from appliance.control import wish_of_box
from appliance.demo.box import BoxProcess
from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside
from appliance.policy.waste import BUFFERED_BYTES_MAX
from appliance.store.store import open_store
from appliance.web.learnt import FORGET_LEARNT
from tests.journeys.client_table import BLOB_HOST_SETTINGS
from tests.soak.books import Balance, Losses, read_log
from tests.soak.catalogue import Fashion, write_catalogue
from tests.soak.findings import Findings
from tests.soak.fleet import MACHINES_COUNT, PART_BYTES, Fleet
from tests.soak.gauges import REST_SECONDS, Gauges, judge_memory
from tests.soak.mishaps import Killer, Operator
from tests.soak.weather import RATE_BYTES_PER_SECOND, Weather

CONNECTIONS = 8
QUOTA = "180MiB"  # Of 240 MB that the registry has; some 100 are in use at a time.
FRESH_SECONDS = 2  # So that manifests are asked for all the time, also in bad weather.
KILLING_SHARE = 0.5
LOOK_SECONDS = 0.1

SETTINGS = BLOB_HOST_SETTINGS | {
    "CACHE_MAX_SIZE": QUOTA,
    "CACHE_MIN_FREE": "64MiB",
    "CACHE_FRESH_SECONDS": str(FRESH_SECONDS),
    "ORIGIN_CONNECTIONS": str(CONNECTIONS),
}


@dataclass
class Soak:
    """One soak. `directory` is empty; what is left there is the caller's to remove."""

    directory: Path
    seed: int
    seconds: float
    say: Callable[[str], None]
    machines_count: int = MACHINES_COUNT
    rest_seconds: float = REST_SECONDS

    async def run(self) -> Findings:
        """Soak for so many seconds, and for what the calm and the rest after that take."""
        self.say("writing models")
        origin = self.directory / "origin"
        origin.mkdir()
        self.models = await asyncio.to_thread(write_catalogue, origin)
        self._fashion = Fashion(self.models)
        self._began = time.monotonic()
        rate = RATE_BYTES_PER_SECOND
        async with Outside(self.directory, time.time, total_bytes_per_second=rate) as outside:
            for model in self.models:
                outside.publish(model)
            async with BoxProcess(self.directory, outside, SETTINGS) as box:
                findings = _Run(self, outside, box)
                await findings.play()
            return await asyncio.to_thread(findings.conclude)

    def in_fashion(self) -> Sequence[DemoModel]:
        """What the clients want now."""
        return self._fashion.wanted(time.monotonic() - self._began)

    def random_for(self, whom: str) -> random.Random:
        """A generator of its own for each, so that none disturbs another's choices."""
        return random.Random(f"{self.seed} {whom}")


class _Run:
    """The parts of one soak, and what they saw."""

    def __init__(self, soak: Soak, outside: Outside, box: BoxProcess) -> None:
        self._soak = soak
        self._outside = outside
        self._box = box
        self._weather = Weather(outside, soak.random_for("weather"), soak.in_fashion)
        self._losses = Losses(self._count_fetched, CONNECTIONS)
        self._killer = Killer(box, soak.random_for("killer"), self._losses.note_kill)
        self._operator = Operator(box, soak.random_for("operator"), soak.in_fashion, soak.models)
        self._gauges = Gauges(box)

    async def play(self) -> None:
        """All of it, with the box still running at the end."""
        soak, box = self._soak, self._box
        files = (box.ca_file, self._outside.ca_file)
        (soak.directory / "trusted.pem").write_bytes(b"".join(each.read_bytes() for each in files))
        await wish_of_box(box.state_directory, "gc", {})  # Opens the audit log, for good.
        self._before, kinds_before = await self._gauges.idle(), self._gauges.kinds()
        fleet = Fleet(
            soak.directory, soak.seed, self._outside, box, soak._fashion, soak.machines_count
        )
        self._fleet = fleet
        began = time.monotonic()
        with fleet:
            async with _Chores(self._gauges.watch(), self._look()):
                await self._rage()
                soak.say("calm")
                await wish_of_box(box.state_directory, FORGET_LEARNT, {})
                await asyncio.to_thread(fleet.calm_down)
        self._seconds = time.monotonic() - began
        soak.say("rest")
        box_before, dns_before = self._before
        self._after = await self._gauges.rest(
            lambda box_now, dns_now: box_now <= box_before and dns_now <= dns_before,
            soak.rest_seconds,
        )
        left = self._gauges.kinds() - kinds_before
        self._left = tuple(f"{count} more of {kind}" for kind, count in left.items())
        verified = await wish_of_box(box.state_directory, "verify", {})
        self._problems = [*self._operator.problems, *verified["problems"]]
        self._evictions = sum(
            1 for each in box.log_file.read_text("utf-8").splitlines() if "cache: evicted " in each
        )

    async def _rage(self) -> None:
        soak = self._soak
        soak.say("storm")
        ends_at = time.monotonic() + soak.seconds
        async with _Chores(self._weather.rage(), self._operator.rage()):
            await self._killer.rage(soak.seconds * KILLING_SHARE)
            soak.say(f"killed {len(self._killer.kills)} times; the last life")
            self._last_life_at = time.monotonic()
            await asyncio.sleep(max(1.0, ends_at - time.monotonic()))

    def conclude(self) -> Findings:
        """Read the books of a box that has stopped. Blocks."""
        box, soak = self._box, self._soak
        sizes = {str(b.digest): b.size_bytes for model in soak.models for b in model.blobs}
        lines = box.log_file.read_text("utf-8").splitlines()
        fetched = read_log([*lines, *self._killer.recovery], sizes)
        with open_store(box.state_directory) as store:
            self._problems += store.verify().problems
            unfinished_bytes = sum(each.held.size_bytes for each in store.unfinished())
        balance = Balance(
            fetched=self._count_fetched(),
            needed=fetched.filled_bytes + fetched.wrong_bytes + unfinished_bytes,
            killed=self._losses.killed_bytes,
            cut=self._weather.cut_bodies * BUFFERED_BYTES_MAX,
            past_store=fetched.past_store_count * PART_BYTES,
        )
        flipped = {
            str(model.repository)
            for model in soak.models
            if any(str(blob.digest) in self._weather.flipped for blob in model.blobs)
        }
        gauges = self._gauges
        box_memory, dns_memory = (
            judge_memory([each for each in samples if each.at >= self._last_life_at])
            for samples in (gauges.box_samples, gauges.dns_samples)
        )
        return Findings(
            seed=soak.seed,
            seconds=self._seconds,
            outcomes=self._fleet.outcomes,
            spells=Counter(self._weather.spells),
            flipped=frozenset(flipped),
            kills=len(self._killer.kills),
            recovery=tuple(self._killer.recovery),
            deeds=self._operator.deeds,
            refusals=self._operator.refusals,
            puzzles=tuple(self._operator.puzzles),
            evictions=self._evictions,
            problems=tuple(dict.fromkeys(self._problems)),
            fetched=fetched,
            balance=balance,
            box_memory=box_memory,
            dns_memory=dns_memory,
            descriptors_before=self._before,
            descriptors_after=self._after,
            descriptors_left=self._left,
        )

    def _count_fetched(self) -> int:
        return self._outside.ledger.agent_bytes[USER_AGENT]

    async def _look(self) -> None:
        while True:
            self._losses.look()
            await asyncio.sleep(LOOK_SECONDS)


class _Chores:
    """Runs endless chores while its context is open; one that fails ends it all."""

    def __init__(self, *chores: Coroutine[Any, Any, None]) -> None:
        self._coroutines = chores
        self._held = AsyncExitStack()

    async def __aenter__(self) -> None:
        group = await self._held.enter_async_context(asyncio.TaskGroup())
        for each in self._coroutines:
            self._held.callback(group.create_task(each).cancel)

    async def __aexit__(self, *details: Any) -> None:
        await self._held.__aexit__(*details)
