"""kill -9 at every step of a commit and of a publication: the next life finds nothing wrong."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.policy.spans import SpanSet
from appliance.protocol.digest import digest_of
from appliance.protocol.ranges import Span
from appliance.store.manifests import PublishStep
from appliance.store.pending import CommitStep
from appliance.store.records import CHECKED_SPAN_BYTES
from appliance.store.shelf import WithdrawStep
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import CONTENT, LATEST, NOON, TINY, tag_of
from tests.faults.driver import BAD, BEFORE, LARGE, NEW, OLD, SYNCED_BYTES

HOUSE = Path(__file__).parents[2]
DIGEST = digest_of(CONTENT)
PUBLISHED = (CommitStep.RENAMED, CommitStep.DIRECTORY_SYNCED, CommitStep.RECORDED)

pytestmark = pytest.mark.fault


def live_until_killed(root: Path, deed: str, step: str = "-") -> None:
    command = [sys.executable, "-m", "tests.faults.driver", str(root), deed, step]
    ended = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def read_blob(store: Store, content: bytes) -> bytes:
    fd = store.open_blob(digest_of(content))
    try:
        return os.pread(fd, 2 * len(content), 0)
    finally:
        os.close(fd)


def pull_again(store: Store) -> None:
    """What the next client causes: the rest is filled, and the blob is right."""
    if store.find_blob(DIGEST) is None:
        pending = store.begin(DIGEST, len(CONTENT), TINY, min_free_bytes=0)
        for gap in tuple(pending.held.missing(Span(0, len(CONTENT)))):
            pending.write(gap.start, CONTENT[gap.start : gap.stop])
        pending.commit(stored_at=NOON)
    assert read_blob(store, CONTENT) == CONTENT


@pytest.mark.parametrize("deed", ["commit", "commit-noted"])
@pytest.mark.parametrize("step", CommitStep, ids=lambda step: step.name)
def test_killed_in_a_commit(tmp_path: Path, step: CommitStep, deed: str) -> None:
    live_until_killed(tmp_path / "state", deed, step.name)
    with open_store(tmp_path / "state") as store:
        assert store.verify().problems == ()
        assert (store.find_blob(DIGEST) is not None) == (step in PUBLISHED)
        held = [note.held for note in store.unfinished()]
        is_kept = deed == "commit-noted" and step not in PUBLISHED
        assert held == ([SpanSet([Span(0, SYNCED_BYTES)])] if is_kept else [])
        assert read_blob(store, BEFORE) == BEFORE
        is_unrecorded = step in PUBLISHED and step is not CommitStep.RECORDED
        assert any(f"Recorded {DIGEST}" in each for each in store.recovery) == is_unrecorded
        pull_again(store)
        assert store.verify().problems == ()
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()


@pytest.mark.parametrize("step", CommitStep, ids=lambda step: step.name)
def test_killed_in_the_commit_of_a_blob_with_checksums(tmp_path: Path, step: CommitStep) -> None:
    live_until_killed(tmp_path / "state", "commit-large", step.name)
    with open_store(tmp_path / "state") as store:
        assert store.verify().problems == ()
        record = store.find_blob(digest_of(LARGE))
        assert (record is not None) == (step in PUBLISHED)
        if record is None:
            (note,) = store.unfinished()
            pending = store.begin(digest_of(LARGE), len(LARGE), TINY, min_free_bytes=0)
            assert note.held == SpanSet([Span(0, len(LARGE))])
            pending.commit(stored_at=NOON)
        assert [is_right for _, is_right in store.check_blob(digest_of(LARGE))] == [True] * 2
        assert store.read_checksums(digest_of(LARGE)) is not None
        assert store.verify().problems == ()


@pytest.mark.parametrize("step", WithdrawStep, ids=lambda step: step.name)
def test_killed_in_a_withdrawal(tmp_path: Path, step: WithdrawStep) -> None:
    live_until_killed(tmp_path / "state", "withdraw", step.name)
    with open_store(tmp_path / "state") as store:
        is_found_again = step is WithdrawStep.NOTED
        assert (store.find_blob(digest_of(LARGE)) is not None) == is_found_again
        if is_found_again:
            assert len(store.verify().problems) == 1
            store.withdraw(digest_of(LARGE), BAD, TINY)
        assert any("Withdrew" in each for each in store.recovery) == (
            step is WithdrawStep.FORGOTTEN
        )
        assert store.verify().problems == ()
        pending = store.begin(digest_of(LARGE), len(LARGE), TINY, min_free_bytes=0)
        assert pending.held == SpanSet([Span(CHECKED_SPAN_BYTES, len(LARGE))])
        pending.write(0, LARGE[:CHECKED_SPAN_BYTES])
        pending.commit(stored_at=NOON)
        assert store.verify().problems == ()


@pytest.mark.parametrize("step", PublishStep, ids=lambda step: step.name)
async def test_killed_in_a_publication(tmp_path: Path, step: PublishStep) -> None:
    live_until_killed(tmp_path / "state", "publish", step.name)
    moved = step is not PublishStep.MANIFEST_WRITTEN
    with open_store(tmp_path / "state") as store:
        assert store.verify().problems == ()
        tag = store.find_tag(LATEST, tag_of(OLD).accept)
        assert tag is not None
        assert await store.read_manifest(tag.digest) == (NEW if moved else OLD)
        moves = [(move.old, move.new, move.moved_at) for move in store.tag_moves(LATEST)]
        assert moves == ([(digest_of(OLD), digest_of(NEW), NOON + 1)] if moved else [])
        assert (store.lists(TINY, DIGEST) is not None) == moved
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()


def test_killed_in_a_fill(tmp_path: Path) -> None:
    live_until_killed(tmp_path / "state", "fill")
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()
        assert store.verify().problems == ()
        (note,) = store.unfinished()
        assert note.held == SpanSet([Span(0, SYNCED_BYTES)])
        pull_again(store)
        assert store.verify().problems == ()


def test_killed_with_nothing_going_on(tmp_path: Path) -> None:
    live_until_killed(tmp_path / "state", "none")
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()
        assert read_blob(store, BEFORE) == BEFORE


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    live_until_killed(tmp_path / "state", "none")
    open_store(tmp_path / "state").close()
