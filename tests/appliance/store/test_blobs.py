"""Complete blobs: opened while they are right, set aside when they are not."""

import os

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.errors import BlobUnknown
from appliance.store.blobs import Blobs, empty_quarantine, quarantine, record_of
from appliance.store.premises import Premises
from tests.appliance.store.samples import NOON, plant

CONTENT = b"weights"
DIGEST = digest_of(CONTENT)


@pytest.fixture
def blobs(premises: Premises) -> Blobs:
    path = premises.layout.blob(DIGEST)
    plant(path, CONTENT)
    os.utime(path, (NOON, NOON))
    premises.catalog.record_blobs([record_of(DIGEST, path.stat())])
    return Blobs(premises)


def read(fd: int) -> bytes:
    try:
        return os.pread(fd, 100, 0)
    finally:
        os.close(fd)


def test_a_held_blob_opens(blobs: Blobs) -> None:
    assert read(blobs.open(DIGEST)) == CONTENT


def test_a_descriptor_is_for_reading_and_is_not_inherited(blobs: Blobs) -> None:
    fd = blobs.open(DIGEST)
    try:
        assert not os.get_inheritable(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
    finally:
        os.close(fd)


def test_a_blob_that_is_not_held_is_unknown(blobs: Blobs) -> None:
    with pytest.raises(BlobUnknown):
        blobs.open(digest_of(b"another"))


def test_a_file_that_went_takes_its_record_along(blobs: Blobs, premises: Premises) -> None:
    premises.layout.blob(DIGEST).unlink()
    with pytest.raises(BlobUnknown):
        blobs.open(DIGEST)
    assert premises.catalog.find_blob(DIGEST) is None


def test_a_file_of_another_size_is_set_aside(blobs: Blobs, premises: Premises) -> None:
    premises.layout.blob(DIGEST).write_bytes(CONTENT[:3])
    with pytest.raises(BlobUnknown):
        blobs.open(DIGEST)
    assert premises.catalog.find_blob(DIGEST) is None
    assert premises.layout.quarantined(DIGEST).read_bytes() == CONTENT[:3]


def test_a_blob_let_go_is_read_on_by_whoever_has_it_open(blobs: Blobs, premises: Premises) -> None:
    fd = blobs.open(DIGEST)
    blobs.discard(DIGEST)
    assert not premises.layout.blob(DIGEST).exists()
    with pytest.raises(BlobUnknown):
        blobs.open(DIGEST)
    assert read(fd) == CONTENT


def test_letting_go_what_is_not_held_is_nothing(blobs: Blobs) -> None:
    blobs.discard(digest_of(b"another"))


def test_a_file_bears_witness_to_its_own_record(blobs: Blobs, premises: Premises) -> None:
    record = record_of(DIGEST, premises.layout.blob(DIGEST).stat())
    assert (record.digest, record.size_bytes) == (DIGEST, len(CONTENT))
    assert record.stored_at == pytest.approx(NOON)


def test_quarantine_keeps_the_last_bytes_of_a_digest(premises: Premises) -> None:
    for content in (b"first", b"second"):
        path = premises.layout.pending_bytes(DIGEST)
        path.write_bytes(content)
        quarantine(premises.layout, premises.disk, DIGEST, path)
    assert [path.read_bytes() for path in premises.layout.quarantine.iterdir()] == [b"second"]


def test_quarantine_can_be_emptied(blobs: Blobs, premises: Premises) -> None:
    blobs.quarantine(DIGEST)
    empty_quarantine(premises.layout, premises.disk)
    assert not list(premises.layout.quarantine.iterdir())
