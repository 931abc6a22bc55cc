"""A life of the store that ends at a named step, by its own hand: run as a process of its own.

    python -m tests.faults.driver ROOT commit STEP | commit-large STEP | commit-noted STEP
                                       | publish STEP | withdraw STEP | fill - | none -

SIGKILL is what the kernel sends; from the inside it comes at exactly the step, every time.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.layout import Layout
from appliance.store.records import CHECKED_SPAN_BYTES
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
LARGE = b"abcdefgh" * (CHECKED_SPAN_BYTES // 8) + CONTENT  # Two checked spans.
BAD = SpanSet([Span(0, CHECKED_SPAN_BYTES)])


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


def commit_large(store: Store, on_step: Callable[[Enum], None]) -> None:
    """A blob that has checksums, so that there is something to do in CHECKSUMMED."""
    pending = store.begin(digest_of(LARGE), len(LARGE), TINY, min_free_bytes=0)
    pending.write(0, LARGE)
    pending.sync()
    pending.commit(stored_at=NOON, on_step=on_step)


def spoil(root: Path) -> None:
    """Turn a bit of the large blob, behind the store's back."""
    with Layout(root).blob(digest_of(LARGE)).open("r+b") as file:
        file.write(b"b")


def withdraw(store: Store, on_step: Callable[[Enum], None]) -> None:
    """The large blob, spoilt after it was stored."""
    store_blob(store, LARGE)
    spoil(store.root)
    store.withdraw(digest_of(LARGE), BAD, TINY, on_step=on_step)


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
        case "commit-large":
            commit_large(store, die_at(step))
        case "withdraw":
            withdraw(store, die_at(step))
        case "publish":
            asyncio.run(publish(store, die_at(step)))
        case "fill":
            fill(store)
    die()  # Not even a close.


if __name__ == "__main__":
    live(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
