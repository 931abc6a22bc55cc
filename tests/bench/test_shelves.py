"""A stock made by hand is one that the store believes."""

from pathlib import Path

from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.protocol.reference import Repository, parse_model_name
from appliance.store.store import open_store
from bench.shelves import Stock, stock


def test_a_start_finds_nothing_to_mend(tmp_path: Path) -> None:
    digest = stock(tmp_path / "state", Stock(models=3, blobs=10, size_bytes=5000))
    with open_store(tmp_path / "state") as store:
        assert store.recovery == ()
        assert store.stats().blob_count == 10
        assert len(store.models()) == 3
        assert store.lists(Repository("library", "bench"), digest) == 5000
        assert store.find_tag(parse_model_name("bench"), MANIFEST_TYPE) is not None


def test_its_blobs_take_no_disk(tmp_path: Path) -> None:
    digest = stock(tmp_path / "state", Stock(models=1, blobs=1, size_bytes=200 * 10**9))
    path = tmp_path / "state" / "blobs" / "sha256" / digest.encoded[:2] / digest.encoded
    assert path.stat().st_size == 200 * 10**9
    assert path.stat().st_blocks * 512 < 10**6
