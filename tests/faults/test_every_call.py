"""A disk that fails at any one call, and a power cut before any one call: nothing wrong is kept.

The deeds are all that the store does to the disk. Each is done over and over: with the first call
to the disk failing, then the second, until there is no further one; and once with what a power cut
would leave taken before every call.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.faults import StoreError
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import CONTENT, LATEST, NOON, TINY, tag_of
from tests.fakes.disk import ForgetfulDisk, NthCallDisk
from tests.faults.driver import BEFORE, NEW, OLD, prepare, publish

pytestmark = pytest.mark.fault

DIGEST, HELD = digest_of(CONTENT), digest_of(BEFORE)
CHUNK_BYTES = 3000
CALLS_MAX = 200  # None of them needs more than thirty.


@dataclass(frozen=True)
class Deed:
    """Something that the store does. `is_done` looks whether it was, in a store opened again."""

    do: Callable[[Store], None]
    is_done: Callable[[Store], bool]


def fill(store: Store) -> None:
    """As the cache does: in chunks, noted on the way, and cancelled on any fault."""
    pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
    try:
        for offset in range(0, len(CONTENT), CHUNK_BYTES):
            pending.write(offset, CONTENT[offset : offset + CHUNK_BYTES])
            pending.sync()
        pending.commit(stored_at=NOON)
    finally:
        pending.cancel()


def leave(store: Store) -> None:
    """A fill that the box's end interrupts."""
    pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
    pending.write(0, CONTENT[:CHUNK_BYTES])
    pending.suspend()


def move_tag(store: Store) -> None:
    asyncio.run(publish(store, lambda _: None))


def let_go(store: Store) -> None:
    store.discard_blob(HELD)


def forget(store: Store) -> None:
    store.forget_tag(LATEST)


def holds(store: Store, content: bytes) -> bool:
    """Whether the blob is there; if it is, it is right."""
    if store.find_blob(digest_of(content)) is None:
        return False
    fd = store.open_blob(digest_of(content))
    try:
        assert os.pread(fd, 2 * len(content), 0) == content
    finally:
        os.close(fd)
    return True


def named(store: Store) -> bytes | None:
    """What the tag names, byte for byte."""
    tag = store.find_tag(LATEST, tag_of(OLD).accept)
    return None if tag is None else asyncio.run(store.read_manifest(tag.digest))


def has_moved(store: Store) -> bool:
    assert named(store) in (OLD, NEW)
    return named(store) == NEW


DEEDS = {
    "a fill": Deed(fill, lambda store: holds(store, CONTENT)),
    "a fill that is left": Deed(leave, lambda store: bool(store.unfinished())),
    "a tag that moves": Deed(move_tag, has_moved),
    "a blob that is let go of": Deed(let_go, lambda store: not holds(store, BEFORE)),
    "a tag that is let go of": Deed(forget, lambda store: named(store) is None),
}


def is_unfinished(problem: str) -> bool:
    """Whether it is work for the next start; a record of bytes that are not there is a bug."""
    is_left_over = "no record" in problem or "the pending" in problem
    return is_left_over or ("The tag " in problem and "and is sha256:" in problem)


def check(root: Path) -> None:
    """A store in which nothing is wrong, and whatever is there is right."""
    with open_store(root) as store:
        assert store.verify().problems == ()
        holds(store, BEFORE)
        holds(store, CONTENT)
        assert named(store) in (None, OLD, NEW)
        for note in store.unfinished():
            pending = store.begin(note.digest, note.size_bytes, TINY, min_free_bytes=0)
            for gap in tuple(pending.held.missing(Span(0, len(CONTENT)))):
                pending.write(gap.start, CONTENT[gap.start : gap.stop])
            pending.commit(stored_at=NOON)  # What is noted as held is right: else it would say so.
    with open_store(root) as store:
        assert store.recovery == ()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("name", DEEDS)
def test_whichever_call_fails_nothing_wrong_is_kept(tmp_path: Path, name: str, number: int) -> None:
    deed, failed = DEEDS[name], []
    for sound_count in range(CALLS_MAX):
        root, disk = tmp_path / str(sound_count), NthCallDisk(sound_count, number)
        with open_store(root, disk=disk) as store:
            prepare(store)
            disk.is_armed = True
            try:
                deed.do(store)
                is_said_done = True
            except (StoreError, OSError):
                is_said_done = False
            disk.is_armed = False
            assert all(map(is_unfinished, store.verify().problems)), disk.failed
            assert not is_said_done or deed.is_done(store), disk.failed
        check(root)
        if not disk.failed:
            break
        failed.append(disk.failed)
    assert len(failed) < CALLS_MAX
    assert failed, "it changes nothing on disk"


class CuttingDisk(ForgetfulDisk):
    """Lays down before each call what a power cut then would leave."""

    def __init__(self, root: Path, *, names_survive: bool) -> None:
        super().__init__()
        self.cuts: list[tuple[Path, str]] = []
        self.is_armed = False
        self._root = root
        self._names_survive = names_survive

    def on_call(self, operation: str) -> None:
        if self.is_armed:
            self.cut(operation)

    def cut(self, what: str) -> None:
        after = self._root.parent / f"after {len(self.cuts)}"
        self.cut_power(self._root, after, names_survive=self._names_survive)
        self.cuts.append((after, what))


@pytest.mark.parametrize("names_survive", [False, True], ids=["synced names only", "every name"])
@pytest.mark.parametrize("name", DEEDS)
def test_whenever_the_power_goes_nothing_wrong_is_kept(
    tmp_path: Path, name: str, names_survive: bool
) -> None:
    root, deed = tmp_path / "state", DEEDS[name]
    disk = CuttingDisk(root, names_survive=names_survive)
    with open_store(root, disk=disk) as store:
        prepare(store)
        disk.is_armed = True
        deed.do(store)
        disk.is_armed = False
        disk.cut("the end")
    assert len(disk.cuts) > 1
    for after, what in disk.cuts[:-1]:
        check(after)
        assert what
    with open_store(disk.cuts[-1][0]) as store:  # What is let go of may come back, names and all.
        assert deed.is_done(store) or "let go" in name, "what was said to be done survives"
    check(disk.cuts[-1][0])
