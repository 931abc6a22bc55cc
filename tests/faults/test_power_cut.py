"""A power cut at every step: what was not synced is forgotten, and nothing is wrong after.

Two cuts are played at each step: one where no name survives that its directory was not synced for,
and one where every name does, so that bytes which were not synced stand as zeros under it.
"""

import os
import shutil
from enum import Enum
from pathlib import Path

import pytest

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.layout import Layout
from appliance.store.manifests import PublishStep
from appliance.store.pending import CommitStep
from appliance.store.records import CHECKED_SPAN_BYTES
from appliance.store.shelf import WithdrawStep
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import CONTENT, LATEST, TINY, store_blob, tag_of
from tests.fakes.disk import ForgetfulDisk
from tests.faults.driver import (
    BAD,
    BEFORE,
    LARGE,
    NEW,
    OLD,
    SYNCED_BYTES,
    commit,
    commit_large,
    prepare,
    publish,
    spoil,
)

DIGEST = digest_of(CONTENT)


class SpoilingDisk(ForgetfulDisk):
    """Has on its platters what was spoilt behind the store's back."""

    def remember(self, path: Path) -> None:
        fd = self.open_again(path)
        self.sync(fd)
        os.close(fd)


SURVIVAL = pytest.mark.parametrize(
    "names_survive", [False, True], ids=["synced names only", "every name"]
)

pytestmark = pytest.mark.fault


class Cuts:
    """Takes what a power cut would leave, at each step it observes."""

    def __init__(self, root: Path, disk: ForgetfulDisk, *, names_survive: bool) -> None:
        self.root = root
        self.disk = disk
        self.names_survive = names_survive
        self.after: dict[Enum, Path] = {}

    def __call__(self, step: Enum) -> None:
        self.after[step] = self.root.parent / f"after {step.name}"
        self.disk.cut_power(self.root, self.after[step], names_survive=self.names_survive)


def is_right(store: Store, content: bytes) -> bool:
    fd = store.open_blob(digest_of(content))
    try:
        return os.pread(fd, 2 * len(content), 0) == content
    finally:
        os.close(fd)


@SURVIVAL
@pytest.mark.parametrize("is_noted", [False, True], ids=["never noted", "noted before"])
def test_in_a_commit(tmp_path: Path, names_survive: bool, is_noted: bool) -> None:
    disk = ForgetfulDisk()
    with open_store(tmp_path / "state", disk=disk) as store:
        cuts = Cuts(tmp_path / "state", disk, names_survive=names_survive)
        prepare(store)
        commit(store, cuts, is_noted=is_noted)
    assert list(cuts.after) == list(CommitStep)
    for step, root in cuts.after.items():
        with open_store(root) as store:
            assert store.verify().problems == (), step
            assert is_right(store, BEFORE)
            record = store.find_blob(DIGEST)
            assert record is None or is_right(store, CONTENT), step
            if step in (CommitStep.DIRECTORY_SYNCED, CommitStep.RECORDED):
                assert record is not None, step
            for note in store.unfinished():
                assert note.held == SpanSet([Span(0, SYNCED_BYTES)])


@SURVIVAL
def test_in_the_commit_of_a_blob_with_checksums(tmp_path: Path, names_survive: bool) -> None:
    disk = ForgetfulDisk()
    with open_store(tmp_path / "state", disk=disk) as store:
        cuts = Cuts(tmp_path / "state", disk, names_survive=names_survive)
        commit_large(store, cuts)
    assert list(cuts.after) == list(CommitStep)
    for step, root in cuts.after.items():
        with open_store(root) as store:
            assert store.verify().problems == (), step
            if store.find_blob(digest_of(LARGE)) is not None:
                assert store.read_checksums(digest_of(LARGE)) is not None
                assert is_right(store, LARGE), step
        shutil.rmtree(root)


@SURVIVAL
def test_in_a_withdrawal(tmp_path: Path, names_survive: bool) -> None:
    """The damage is still there to be found, or the good bytes are held; never the bad ones."""
    disk = SpoilingDisk()
    with open_store(tmp_path / "state", disk=disk) as store:
        cuts = Cuts(tmp_path / "state", disk, names_survive=names_survive)
        store_blob(store, LARGE)
        spoil(store.root)
        disk.remember(Layout(store.root).blob(digest_of(LARGE)))
        store.withdraw(digest_of(LARGE), BAD, TINY, on_step=cuts)
    assert list(cuts.after) == list(WithdrawStep)
    for step, root in cuts.after.items():
        with open_store(root) as store:
            if store.find_blob(digest_of(LARGE)) is not None:
                assert step is WithdrawStep.NOTED
                assert len(store.verify().problems) == 1
                continue
            assert store.verify().problems == (), step
            (note,) = store.unfinished()
            assert note.held == SpanSet([Span(CHECKED_SPAN_BYTES, len(LARGE))])
        shutil.rmtree(root)


@SURVIVAL
async def test_in_a_publication(tmp_path: Path, names_survive: bool) -> None:
    disk = ForgetfulDisk()
    with open_store(tmp_path / "state", disk=disk) as store:
        cuts = Cuts(tmp_path / "state", disk, names_survive=names_survive)
        await store.write_manifest(tag_of(OLD), OLD)
        await publish(store, cuts)
    assert list(cuts.after) == list(PublishStep)
    for step, root in cuts.after.items():
        with open_store(root) as store:
            assert store.verify().problems == (), step
            tag = store.find_tag(LATEST, tag_of(OLD).accept)
            assert tag is not None
            moved = step is not PublishStep.MANIFEST_WRITTEN
            assert await store.read_manifest(tag.digest) == (NEW if moved else OLD), step
            assert len(store.tag_moves(LATEST)) == moved, step


@SURVIVAL
def test_in_a_fill(tmp_path: Path, names_survive: bool) -> None:
    """Only what was synced and then noted is believed, and it is right."""
    disk, root, after = ForgetfulDisk(), tmp_path / "state", tmp_path / "after"
    with open_store(root, disk=disk) as store:
        pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
        pending.write(0, CONTENT[:SYNCED_BYTES])
        pending.sync()
        pending.write(SYNCED_BYTES, CONTENT[SYNCED_BYTES:])
        disk.cut_power(root, after, names_survive=names_survive)
    with open_store(after) as store:
        (note,) = store.unfinished()
        assert note.held == SpanSet([Span(0, SYNCED_BYTES)])
        pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
        pending.write(SYNCED_BYTES, CONTENT[SYNCED_BYTES:])
        pending.commit(stored_at=1.0)
        assert is_right(store, CONTENT)


class NeverSyncs(ForgetfulDisk):
    """A disk that does not do what it says: to show that these tests would notice."""

    def sync(self, fd: int) -> None: ...

    def sync_data(self, fd: int) -> None: ...


def test_a_store_that_did_not_sync_would_be_found_out(tmp_path: Path) -> None:
    disk, root, after = NeverSyncs(), tmp_path / "state", tmp_path / "after"
    with open_store(root, disk=disk) as store:
        prepare(store)
        disk.cut_power(root, after, names_survive=True)
    (after / "marker").write_bytes((root / "marker").read_bytes())
    with open_store(after) as store:
        assert store.verify().problems or store.recovery
