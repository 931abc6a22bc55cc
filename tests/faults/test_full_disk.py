"""A disk that fills up, or fails, in the middle: the fault has a name, and nothing else is hurt."""

import errno
import os
from pathlib import Path

import pytest

from appliance.protocol.digest import digest_of
from appliance.store.faults import StoreFullError
from appliance.store.store import Store, open_store
from tests.appliance.store.samples import CONTENT, NOON, TINY, manifest_of, store_blob, tag_of
from tests.fakes.disk import FailingDisk

pytestmark = pytest.mark.fault

OPERATIONS = ["write_at", "sync_data", "sync", "rename", "sync_directory"]


def fill(store: Store, content: bytes) -> None:
    """A fill as the cache does it: in chunks, synced now and then, cancelled on any fault."""
    pending = store.begin(digest_of(content), len(content), TINY, min_free_bytes=0)
    try:
        for offset in range(0, len(content), 1000):
            pending.write(offset, content[offset : offset + 1000])
            pending.sync()
        pending.commit(stored_at=NOON)
    finally:
        pending.cancel()


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_fill_that_meets_it_leaves_the_store_as_it_was(
    tmp_path: Path, operation: str, number: int, after: int
) -> None:
    disk = FailingDisk()
    with open_store(tmp_path / "state", disk=disk) as store:
        store_blob(store, b"held before")
        disk.fail(operation, number, after=after)
        expected = StoreFullError if number == errno.ENOSPC else OSError
        try:
            fill(store, CONTENT)
        except expected:
            assert store.find_blob(digest_of(CONTENT)) is None
        else:
            assert after > 0, "it was not met"
        disk.heal()
        assert store.verify().problems == ()
        assert store.stats().pending_count == 0
        if store.find_blob(digest_of(CONTENT)) is None:
            fill(store, CONTENT)
        assert store.find_blob(digest_of(CONTENT)) is not None
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()
        assert store.verify().problems == ()


@pytest.mark.parametrize("after", range(2))
@pytest.mark.parametrize("operation", ["write_at", "sync_data", "rename", "sync_directory"])
async def test_a_publication_that_meets_it_can_be_made_again(
    tmp_path: Path, operation: str, after: int
) -> None:
    disk = FailingDisk()
    old, new = manifest_of(b"old"), manifest_of(b"new")
    with open_store(tmp_path / "state", disk=disk) as store:
        await store.write_manifest(tag_of(old), old)
        disk.fail(operation, errno.ENOSPC, after=after)
        with pytest.raises(StoreFullError):
            await store.write_manifest(tag_of(new), new)
        tag = store.find_tag(tag_of(old).reference, tag_of(old).accept)
        assert tag is not None
        assert await store.read_manifest(tag.digest) == old
        disk.heal()
        await store.write_manifest(tag_of(new), new)
        assert await store.read_manifest(digest_of(new)) == new
        assert store.verify().problems == ()
    with open_store(tmp_path / "state") as store:
        assert store.verify().problems == ()


def test_a_real_disk_too_small_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    with open_store(tmp_path / "state") as store:
        free_bytes = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
        with pytest.raises(StoreFullError):
            store.begin(digest_of(CONTENT), free_bytes * 2, TINY, min_free_bytes=0)
        assert store.stats().pending_count == 0
