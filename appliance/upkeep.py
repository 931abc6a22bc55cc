"""What an operator may do to the models: on a running box by its control socket, else by its lock.

Each deed takes a wish, a small JSON object, and answers with another.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from appliance.cache.fill import Fill
from appliance.cache.janitor import Janitor
from appliance.cache.mending import Mender
from appliance.cache.scrub import Scrubber
from appliance.cache.tally import Tally
from appliance.control import BoxNotRunningError, BoxPuzzledError, Deed, wish_of_box
from appliance.policy.eviction import Budget, Eviction
from appliance.policy.roles import DEEDS
from appliance.protocol.errors import NameInvalid, Unavailable
from appliance.protocol.reference import Reference, format_model_name, parse_model_name
from appliance.store.store import Store, open_store
from appliance.upstream.builtin import BuiltinSource

# What only a running box does (prefetching.py).
OF_A_BOX = frozenset({"prefetch", "unprefetch", "pause", "resume"})


class ModelNameError(Exception):
    """What was typed names no model."""

    hint = "a name is such as llama3.2, llama3.2:1b, or someone/model:tag"


class WishInvalidError(Exception):
    """A wish lacks something, or holds what cannot be meant."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key} must be {what}")
        self.hint = f'say it as JSON: {{"{key}": …}}'


class Upkeep:
    """The deeds, on an open store."""

    def __init__(self, store: Store, janitor: Janitor, scrubber: Scrubber) -> None:
        self._store = store
        self._janitor = janitor
        self._scrubber = scrubber
        self._verifying: dict[str, int] | None = None

    def deeds(self) -> Mapping[str, Deed]:
        """Each by the verb that it is for."""
        return {
            "pin": self.pin,
            "unpin": self.unpin,
            "rm": self.remove,
            "evict": self.evict,
            "gc": self.collect,
            "verify": self.verify,
            "scrub": self.scrub,
        }

    async def pin(self, wish: Mapping[str, Any]) -> Any:
        """Pin `model`; a model may be pinned before it is here."""
        reference = read_model(wish.get("model"))
        await asyncio.to_thread(self._store.pin, reference)
        rows = await asyncio.to_thread(self._store.models)
        return {"held": any(row.reference == reference for row in rows)}

    async def unpin(self, wish: Mapping[str, Any]) -> Any:
        """Unpin `model`."""
        reference = read_model(wish.get("model"))
        was_pinned = str(reference) in await asyncio.to_thread(self._store.pins)
        await asyncio.to_thread(self._store.unpin, reference)
        return {"was_pinned": was_pinned}

    async def remove(self, wish: Mapping[str, Any]) -> Any:
        """Let go of `model`."""
        reference = read_model(wish.get("model"))
        return describe(await self._janitor.remove(reference, dry_run=read_flag(wish, "dry_run")))

    async def evict(self, wish: Mapping[str, Any]) -> Any:
        """Let go of `bytes` of what was not pulled for longest."""
        wanted_bytes, dry_run = read_size(wish, "bytes"), read_flag(wish, "dry_run")
        return describe(await self._janitor.evict(wanted_bytes, dry_run=dry_run))

    async def collect(self, wish: Mapping[str, Any]) -> Any:
        """Let go of what nothing names."""
        return describe(await self._janitor.collect(dry_run=read_flag(wish, "dry_run")))

    async def verify(self, wish: Mapping[str, Any]) -> Any:  # A deed's shape.
        """Read every byte and tell what is wrong."""
        counted = {"read_bytes": 0, "total_bytes": self._store.stats().blob_size_bytes}

        def count(read_bytes: int) -> None:
            counted["read_bytes"] += read_bytes

        self._verifying = counted
        try:
            report = await asyncio.to_thread(self._store.verify, count)
        finally:
            self._verifying = None
        return {
            "problems": list(report.problems),
            "blob_count": report.blob_count,
            "read_bytes": report.read_size_bytes,
        }

    def progress(self, verb: str) -> dict[str, int] | None:
        """How far `verify` or `scrub` is; None while nobody wishes for it."""
        if verb == "verify":
            return self._verifying
        asked = self._scrubber.progress().asked
        if asked is None:
            return None
        return {"read_bytes": asked.read_bytes, "total_bytes": asked.total_bytes}

    async def scrub(self, wish: Mapping[str, Any]) -> Any:
        """Read `model` again, or everything, and mend what is wrong."""
        model = wish.get("model")
        done = await self._scrubber.scrub(None if model is None else read_model(model))
        return {
            "blob_count": done.blob_count,
            "read_bytes": done.read_bytes,
            "damaged": [
                {
                    "digest": str(digest),
                    "bad_bytes": bad_bytes,
                    "mended": digest not in done.unmended,
                }
                for digest, bad_bytes in done.damaged.items()
            ],
        }


def perform(
    state_dir: Path,
    verb: str,
    wish: Mapping[str, Any],
    here: Callable[[Upkeep], None] | None = None,
    mount_point: Path | None = None,
) -> Any:
    """Have the running box do it; with none running, take its lock and do it here. Blocks.

    `here` is told who does it in that case, to ask how far it is.

    Raises:
        BoxRefusesError: it will not; any fault of the store or the janitor likewise, done here.
    """
    try:
        return asyncio.run(wish_of_box(state_dir, verb, wish))
    except BoxPuzzledError:
        raise
    except BoxNotRunningError:
        if not state_dir.exists() or verb not in DEEDS.keys() - OF_A_BOX:
            raise
    with open_store(state_dir, mount_point=mount_point) as store:
        return asyncio.run(_perform_here(store, verb, wish, here))


async def _perform_here(
    store: Store, verb: str, wish: Mapping[str, Any], here: Callable[[Upkeep], None] | None
) -> Any:
    upkeep = Upkeep(store, make_janitor(store), make_scrubber(store))
    if here is not None:
        here(upkeep)
    return await upkeep.deeds()[verb](wish)


def make_janitor(store: Store) -> Janitor:
    """A janitor of a store that no box has open: nothing is being filled, nobody counts."""
    return Janitor(
        store,
        budget=lambda: Budget(min_free_bytes=0, max_size_bytes=0),
        filling=tuple,
        own=BuiltinSource().digests,
        tally=Tally(),
    )


def make_scrubber(store: Store) -> Scrubber:
    """A scrubber of a store that no box has open: it takes out of service, and cannot fetch."""

    async def fill(*_: object) -> Fill:
        raise Unavailable("no box runs to fetch it")

    tally = Tally()
    mender = Mender(store, tally=tally, now=_no_time, fill=fill, spoil=lambda *_: None)
    return Scrubber(
        store,
        mender,
        days=0,
        own=BuiltinSource().digests,
        tally=tally,
        now=_no_time,
        is_busy=lambda: False,
    )


def _no_time() -> float:
    """Nothing is paced, and nothing tried twice, by who does one thing and ends."""
    return 0.0


def read_model(text: object) -> Reference:
    """The model that a wish names. Raises ModelNameError, WishInvalidError."""
    try:
        if isinstance(text, str):
            return parse_model_name(text)
    except NameInvalid as error:
        raise ModelNameError(f"{text!r} is no model's name") from error
    raise WishInvalidError("model", "the name of a model")


def read_flag(wish: Mapping[str, Any], key: str) -> bool:
    """A switch, off where it goes unsaid. Raises WishInvalidError."""
    value = wish.get(key, False)
    if not isinstance(value, bool):
        raise WishInvalidError(key, "true or false")
    return value


def read_size(wish: Mapping[str, Any], key: str) -> int:
    """A number of bytes. Raises WishInvalidError."""
    value = wish.get(key)
    if type(value) is not int or value < 0:
        raise WishInvalidError(key, "a number of bytes")
    return value


def describe(eviction: Eviction) -> dict[str, Any]:
    """An eviction as JSON; `models` are the names that go."""
    names = {format_model_name(name) for each in eviction.holdings for name in each.names}
    return {
        "models": sorted(names),
        "manifests": len(eviction.holdings),
        "blobs": len(eviction.blobs),
        "freed_bytes": eviction.freed_bytes,
    }
