"""The Internet at its worst: spells of everything that a registry and a line do to people.

Spells come one after another with calm between them, each drawn from a random generator of its own.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields

from appliance.demo.faults import BodyFault, Break, Faults
from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside

RATE_BYTES_PER_SECOND = 12_000_000  # A line of 100 Mbit/s.
SLOW_BYTES_PER_SECOND = 300_000
CALM_SECONDS = (1.0, 6.0)
SPELL_SECONDS = (1.0, 6.0)
STRIKES_MAX = 6  # Bodies that break in one spell.


class Weather:
    """Brings spells until it is cancelled, and then clears up."""

    def __init__(
        self, outside: Outside, rng: random.Random, in_fashion: Callable[[], Sequence[DemoModel]]
    ) -> None:
        self.spells: Counter[str] = Counter()
        self.cut_bodies = 0
        """How often a body under way may have been cut."""
        self.flipped: set[str] = set()
        """Digests that were sent wrong at some time."""
        self._outside = outside
        self._random = rng
        self._in_fashion = in_fashion
        self._kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "registry down": lambda: self._take_down(registry=True),
            "CDN down": lambda: self._take_down(cdn=True),
            "both down": lambda: self._take_down(registry=True, cdn=True),
            "slow line": self._slow_down,
            "bodies reset": lambda: self._break_bodies(Break.RESET),
            "bodies truncated": lambda: self._break_bodies(Break.TRUNCATE),
            "bodies stalled": lambda: self._break_bodies(Break.STALL),
            "CDN 503": lambda: self._fail(Faults(cdn_status=503, retry_after_seconds=1)),
            "CDN 429": lambda: self._fail(Faults(cdn_status=429, retry_after_seconds=1)),
            "registry 429": lambda: self._fail(Faults(blob_status=429)),
            "manifests 503": lambda: self._fail(Faults(manifest_status=503)),
            "captive portal": lambda: self._fail(Faults(is_portal=True)),
            "lying ranges": lambda: self._fail(Faults(range_shift_bytes=512)),
            "URLs expire": self._expire,
            "wrong bytes": self._send_wrong_bytes,
        }

    async def rage(self) -> None:
        """One spell after another."""
        try:
            while True:
                await asyncio.sleep(self._random.uniform(*CALM_SECONDS))
                kind = self._random.choice(list(self._kinds))
                self.spells[kind] += 1
                await self._kinds[kind]()
        finally:
            await self._clear_up()

    async def _last(self) -> None:
        await asyncio.sleep(self._random.uniform(*SPELL_SECONDS))

    async def _clear_up(self) -> None:
        _put(Faults(), self._outside.faults)
        self._outside.line.total_bytes_per_second = RATE_BYTES_PER_SECOND
        for site in (self._outside.registry, self._outside.cdn):
            if not site.is_up:
                await site.come_up()

    async def _take_down(self, *, registry: bool = False, cdn: bool = False) -> None:
        sites = [self._outside.registry] * registry + [self._outside.cdn] * cdn
        self.cut_bodies += cdn
        for site in sites:
            await site.go_down()
        await self._last()
        for site in sites:
            await site.come_up()

    async def _slow_down(self) -> None:
        self._outside.line.total_bytes_per_second = SLOW_BYTES_PER_SECOND
        await self._last()
        self._outside.line.total_bytes_per_second = RATE_BYTES_PER_SECOND

    async def _break_bodies(self, kind: Break) -> None:
        times = self._random.randint(1, STRIKES_MAX)
        fault = BodyFault(kind, self._random.randint(0, 2_000_000), times)
        await self._fail(Faults(body=fault))
        self.cut_bodies += times - fault.times

    async def _fail(self, faults: Faults) -> None:
        _put(faults, self._outside.faults)
        await self._last()
        _put(Faults(), self._outside.faults)

    async def _expire(self) -> None:
        self._outside.presigner.expire_now()

    async def _send_wrong_bytes(self) -> None:
        model = self._random.choice(self._in_fashion())
        digest = self._random.choice(model.blobs).digest
        self.flipped.add(str(digest))
        await self._fail(Faults(flipped={digest}))


def _put(faults: Faults, into: Faults) -> None:
    for each in fields(Faults):
        setattr(into, each.name, getattr(faults, each.name))
