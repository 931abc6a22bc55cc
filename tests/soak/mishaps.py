"""What happens to the box itself: it is killed and started again, and its operator is restless."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from appliance.control import BoxNotRunningError, BoxPuzzledError, BoxRefusesError, wish_of_box
from appliance.demo.box import BoxProcess
from appliance.demo.models import DemoModel
from appliance.web.learnt import FORGET_LEARNT

LIFE_SECONDS = (8.0, 25.0)  # Until the box is killed.
DEATH_SECONDS = (0.0, 3.0)  # Until it is started again.
DEED_SECONDS = (0.5, 4.0)  # Between two deeds of the operator.
PINNED_MAX = 1  # More, and little would be left to evict.
WITH_DNS_SHARE = 0.3  # Of the kills take its DNS along, as a power cut does.

# How often each deed is done beside the others.
DEEDS = {
    "pin": 4,
    "unpin": 3,
    "rm": 4,
    "gc": 3,
    "evict": 2,
    "verify": 1,
    FORGET_LEARNT: 2,
}


class Killer:
    """Kills the box and starts it again, until cancelled; it is left running."""

    def __init__(self, box: BoxProcess, rng: random.Random, note_kill: Callable[[], None]) -> None:
        self.kills: list[float] = []
        """The monotonic instants."""
        self.recovery: list[str] = []
        """What the box said that it mended when it started again."""
        self._box = box
        self._random = rng
        self._note_kill = note_kill

    async def rage(self, seconds: float) -> None:
        """Kill for so long, and at least once."""
        until = time.monotonic() + seconds
        while True:
            life_seconds = self._random.uniform(*LIFE_SECONDS)
            if self.kills and time.monotonic() + life_seconds > until:
                return
            await asyncio.sleep(min(life_seconds, max(1.0, until - time.monotonic())))
            await self._kill_once()

    async def _kill_once(self) -> None:
        self._note_kill()
        self.kills.append(time.monotonic())
        await self._box.crash(with_dns=self._random.random() < WITH_DNS_SHARE)
        await asyncio.sleep(self._random.uniform(*DEATH_SECONDS))
        await self._box.restart()
        self.recovery += [each for each in self._box.said if each.startswith("recovery: ")]


@dataclass
class Operator:
    """Does deeds by the control socket. `puzzles` are those that the box failed at."""

    box: BoxProcess
    rng: random.Random
    in_fashion: Callable[[], Sequence[DemoModel]]
    models: Sequence[DemoModel]
    deeds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    puzzles: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What `verify` found while the box was at work."""
    pinned: list[str] = field(default_factory=list)

    async def rage(self) -> None:
        """Do one deed after another until cancelled."""
        while True:
            await asyncio.sleep(self.rng.uniform(*DEED_SECONDS))
            (deed,) = self.rng.choices(list(DEEDS), list(DEEDS.values()))
            await self.perform("unpin" if len(self.pinned) > PINNED_MAX else deed)

    async def perform(self, deed: str) -> None:
        """Do it, to a model of its own choice where it is done to models."""
        try:
            answer = await wish_of_box(self.box.state_directory, deed, self._wish(deed))
        except BoxPuzzledError as error:
            self.puzzles.append(f"{deed}: {error}")
        except BoxNotRunningError:
            self.refusals["the box is away"] += 1
        except BoxRefusesError as error:
            self.refusals[f"{deed}: {' '.join(str(error).split()[1:])}"] += 1
        else:
            self.deeds[deed] += 1
            if deed == "verify":
                self.problems += answer["problems"]

    def _wish(self, deed: str) -> dict[str, Any]:
        if deed == "pin":
            model = self._choose()
            self.pinned = list(dict.fromkeys([*self.pinned, model]))
            return {"model": model}
        if deed == "unpin":
            return {"model": self.pinned.pop(0) if self.pinned else self._choose()}
        if deed == "rm":
            return {"model": self._choose()}
        return {"bytes": self.rng.randint(0, 20_000_000)} if deed == "evict" else {}

    def _choose(self) -> str:
        models = self.in_fashion() if self.rng.random() < 0.5 else self.models
        return str(self.rng.choice(models).repository.model)
