"""Prefetching: models that an operator wants here before anybody pulls them, one after another.

Theory of operation. Wishes are kept in the ledger, so that a box that is restarted in the night has
the models in the morning; each is dropped once its model is whole. It is fetched by what answers
`POST /api/pull`, in the background: a pull of the same blobs shares the download, and a pause holds
it up. What cannot be had now, or is not there, is tried again, ever more seldom, until somebody
drops the wish.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from appliance.cache.pulls import Cache
from appliance.control import Deed
from appliance.policy.backoff import choose_mismatch_pause
from appliance.protocol.digest import parse_digest
from appliance.protocol.errors import NameInvalid
from appliance.protocol.reference import Reference, format_model_name, parse_model_name
from appliance.store.store import Store
from appliance.upkeep import read_model
from appliance.web.prefetches import FAILED, FETCHING, WAITING, Prefetch
from appliance.web.pulling import PullRefusedError, measure_model, pull_model

WISHES_MAX = 1000  # A library's worth; each may be hundreds of gigabytes.
LOOK_SECONDS = 5.0  # Between two looks for what is due again.

_log = logging.getLogger("prefetch")

type Lines = AsyncGenerator[dict[str, Any]]


class WishesFullError(Exception):
    """More is wished for than anybody keeps in mind."""

    hint = "wait until some of it is here, or drop some: POST /api/v1/unprefetch"


@dataclass(slots=True)
class _Wish:
    reference: Reference
    told: Prefetch
    held: dict[str, int] = field(default_factory=dict)  # Bytes by blob, of those begun.
    attempts: int = 0
    due_at: float = 0.0


class Prefetcher:
    """Keeps the wishes and works them off. Use with `async with`."""

    def __init__(
        self, cache: Cache, store: Store, user_agent: str, *, now: Callable[[], float]
    ) -> None:
        self._cache = cache
        self._store = store
        self._user_agent = user_agent
        self._now = now
        self._wishes: dict[Reference, _Wish] = {}
        self._is_wished = asyncio.Event()
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> "Prefetcher":
        for text in await asyncio.to_thread(self._store.agenda.wishes):
            with suppress(NameInvalid):  # Of a grammar that a later version had.
                self._keep(parse_model_name(text))
        await self._group.__aenter__()
        self._working = self._group.create_task(self._work())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._working.cancel()
        await self._group.__aexit__(None, None, None)

    @property
    def prefetches(self) -> tuple[Prefetch, ...]:
        """What is wished for and not yet here, the oldest wish first."""
        return tuple(each.told for each in self._wishes.values())

    def deeds(self) -> Mapping[str, Deed]:
        """What operators may do here, by the names in the table of roles."""
        return {
            "prefetch": self.prefetch,
            "unprefetch": self.unprefetch,
            "pause": self.pause,
            "resume": self.resume,
        }

    async def prefetch(self, wish: Mapping[str, Any]) -> Any:
        """Fetch `model` when its turn comes; one that is wished for already is tried at once."""
        reference = read_model(wish.get("model"))
        if reference not in self._wishes and len(self._wishes) >= WISHES_MAX:
            raise WishesFullError(f"{WISHES_MAX} models are wished for already")
        await asyncio.to_thread(self._store.agenda.wish, reference, self._now())
        self._keep(reference).due_at = 0.0
        self._is_wished.set()
        return {"model": format_model_name(reference), "wishes": len(self._wishes)}

    async def unprefetch(self, wish: Mapping[str, Any]) -> Any:
        """Fetch `model` no longer; what is here of it stays."""
        reference = read_model(wish.get("model"))
        await asyncio.to_thread(self._store.agenda.unwish, reference)
        dropped = self._wishes.pop(reference, None)
        if dropped is not None:
            self._let_go(dropped)
        return {"was_wished": dropped is not None}

    async def pause(self, wish: Mapping[str, Any]) -> Any:  # A deed's shape.
        """Have nothing downloaded that no client waits for."""
        return {"was_paused": not await self._cache.background.pause()}

    async def resume(self, wish: Mapping[str, Any]) -> Any:
        """Download that again."""
        return {"resumed_blobs": await self._cache.background.go_on()}

    def _keep(self, reference: Reference) -> _Wish:
        told = Prefetch(format_model_name(reference))
        return self._wishes.setdefault(reference, _Wish(reference, told))

    async def _work(self) -> None:
        while True:
            await self._cache.background.wait()
            self._is_wished.clear()
            wish = self._find_due()
            if wish is not None:
                await self._fetch(wish)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._is_wished.wait()

    def _find_due(self) -> _Wish | None:
        now = self._now()
        return next((each for each in self._wishes.values() if each.due_at <= now), None)

    async def _fetch(self, wish: _Wish) -> None:
        """Fetch one, as far as it goes."""
        try:
            is_here, trouble = await self._is_fetched(wish), ""
        except PullRefusedError as fault:
            is_here, trouble = False, str(fault)
        except Exception:  # noqa: BLE001  # One model's accident is not the others'.
            _log.exception("prefetching %s failed", wish.told.model)
            is_here, trouble = False, "this box failed at it: see its log"
        if is_here:
            await asyncio.to_thread(self._store.agenda.unwish, wish.reference)
            self._wishes.pop(wish.reference, None)
            _log.info("%s is here", wish.told.model)
        elif not trouble or self._is_held_up(wish):
            wish.told = replace(wish.told, state=WAITING)
        else:
            wish.attempts += 1
            wish.due_at = self._now() + choose_mismatch_pause(wish.attempts)
            wish.told = replace(wish.told, state=FAILED, trouble=trouble)
            _log.warning("%s is not here yet: %s", wish.told.model, trouble)

    def _is_held_up(self, wish: _Wish) -> bool:
        """Whether an operator ended it, whatever its end looked like."""
        return self._cache.background.is_paused or wish.reference not in self._wishes

    async def _is_fetched(self, wish: _Wish) -> bool:
        """Whether it came whole; False where it was paused or dropped meanwhile."""
        cache, reference = self._cache, wish.reference
        held = wish.held = {}
        wish.told = replace(wish.told, state=FETCHING)
        total_bytes = await measure_model(cache, reference, self._user_agent)
        lines: Lines = pull_model(cache, reference, self._user_agent, is_background=True)
        async with aclosing(lines):
            async for line in lines:
                if "digest" in line:
                    held[line["digest"]] = line.get("completed", 0)
                held_bytes = sum(held.values())
                wish.told = replace(wish.told, held_bytes=held_bytes, total_bytes=total_bytes)
                if self._is_held_up(wish):
                    return False
        return True

    def _let_go(self, wish: _Wish) -> None:
        """End the downloads that nobody but this wish wanted."""
        for digest in wish.held:
            fill = self._cache.find_fill(parse_digest(digest))
            if fill is not None and fill.unwanted_seconds(time.monotonic()) == inf:
                fill.rest()
