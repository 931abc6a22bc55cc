"""The values the store remembers."""

from appliance.protocol.digest import digest_of
from appliance.store.records import ManifestRecord
from tests.appliance.store.samples import TINY


def test_a_model_is_as_large_as_its_blobs() -> None:
    blobs = ((digest_of(b"a"), 7), (digest_of(b"b"), 35))
    assert ManifestRecord(TINY, digest_of(b"m"), 500, blobs).total_size_bytes == 42


def test_a_model_without_blobs_has_no_size() -> None:
    assert ManifestRecord(TINY, digest_of(b"m"), 500, ()).total_size_bytes == 0
