"""Premises: small files put in place, and a full disk called by its name."""

import errno

import pytest

from appliance.store.faults import StoreFullError
from appliance.store.premises import Premises
from tests.fakes.disk import FailingDisk


def test_a_file_is_put_in_place_and_no_draft_stays(premises: Premises) -> None:
    for content in (b"first", b"second"):
        premises.put_file(premises.layout.root / "file", content)
        assert (premises.layout.root / "file").read_bytes() == content
    assert not list(premises.layout.drafts.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_used_up_quota_are_one_fault(
    premises: Premises, disk: FailingDisk, number: int
) -> None:
    disk.fail("write_at", number)
    disk.free = 3
    with pytest.raises(StoreFullError) as caught:
        premises.put_file(premises.layout.root / "file", b"four")
    assert (caught.value.needed_bytes, caught.value.free_bytes) == (4, 3)


def test_other_errors_stay_what_they_are(premises: Premises, disk: FailingDisk) -> None:
    disk.fail("sync_data", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        premises.put_file(premises.layout.root / "file", b"content")
