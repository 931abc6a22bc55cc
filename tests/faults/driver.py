"""A life of the store that ends at a named step, by its own hand: run as a process of its own.

    python -m tests.faults.driver ROOT commit STEP | publish STEP | fill | none

SIGKILL is what the kernel sends; from the inside it comes at exactly the step, every time.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from appliance.protocol.digest import digest_of
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import (
    CONTENT,
    LATEST,
    NOON,
    TINY,
    manifest_of,
    store_blob,
    tag_of,
)

BEFORE = b"held before"
OLD, NEW = manifest_of(BEFORE), manifest_of(BEFORE, CONTENT)
SYNCED_BYTES = 4000


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(name: str) -> Callable[[Enum], None]:
    """The observer that ends it all when the step of that name is done."""
    return lambda step: die() if step.name == name else None


def prepare(store: Store) -> None:
    """What every life begins with: one complete blob, and the tag on the old manifest."""
    store_blob(store, BEFORE)
    asyncio.run(store.write_manifest(tag_of(OLD), OLD))


def commit(store: Store, on_step: Callable[[Enum], None], *, is_noted: bool) -> None:
    pending = store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
    pending.write(0, CONTENT[:SYNCED_BYTES])
    if is_noted:
        pending.sync()
    pending.write(SYNCED_BYTES, CONTENT[SYNCED_BYTES:])
    pending.commit(stored_at=NOON, on_step=on_step)


async def publish(store: Store, on_step: Callable[[Enum], None]) -> None:
    await store.write_manifest(tag_of(NEW, LATEST, stored_at=NOON + 1), NEW, on_step=on_step)


def fill(store: Store) -> None:
    pending = store.begin(digest_of(CONTENT), len(CONTENT), TINY, min_free_bytes=0)
    pending.write(0, CONTENT[:SYNCED_BYTES])
    pending.sync()
    pending.write(SYNCED_BYTES, CONTENT[SYNCED_BYTES:])
    die()


def live(root: Path, deed: str, step: str) -> None:
    store = open_store(root)
    prepare(store)
    match deed:
        case "commit" | "commit-noted":
            commit(store, die_at(step), is_noted=deed == "commit-noted")
        case "publish":
            asyncio.run(publish(store, die_at(step)))
        case "fill":
            fill(store)
    die()  # Not even a close.


if __name__ == "__main__":
    live(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
