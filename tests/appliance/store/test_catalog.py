"""The catalog: what is recorded is found, what lists what, and sums that stay right."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import Digest, digest_of
from appliance.protocol.manifest import parse_manifest
from appliance.protocol.reference import Reference, Repository
from appliance.store.catalog import Catalog
from appliance.store.faults import EnvironmentDamagedError
from appliance.store.manifests import manifest_record
from appliance.store.premises import Premises
from appliance.store.records import BlobRecord, ManifestRecord, TagRecord
from tests.appliance.store.samples import LATEST, NOON, TINY, manifest_of, tag_of

OTHER = Repository("someone", "tiny")
BLOBS = [b"one", b"two", b"three"]


def digests(*blobs: bytes) -> list[Digest]:
    return [digest_of(blob) for blob in blobs]


def publish(catalog: Catalog, reference: Reference, *blobs: bytes) -> TagRecord:
    content = manifest_of(*blobs)
    tag = tag_of(content, reference)
    catalog.publish(tag, record_of_manifest(content, reference.repository))
    return tag


def record_of_manifest(content: bytes, repository: Repository = TINY) -> ManifestRecord:
    return manifest_record(repository, digest_of(content), content, parse_manifest(content))


@pytest.fixture
def catalog(premises: Premises) -> Catalog:
    return premises.catalog


def test_a_blob_is_found_until_it_is_forgotten(catalog: Catalog) -> None:
    record = BlobRecord(digest_of(b"one"), 3, NOON)
    catalog.record_blobs([record])
    assert catalog.find_blob(record.digest) == record
    assert catalog.blobs() == [record]
    catalog.forget_blobs([record.digest])
    assert catalog.find_blob(record.digest) is None


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(BLOBS), st.integers(0, 100)), max_size=12))
def test_sums_are_those_of_the_records(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bool, bytes, int]]
) -> None:
    catalog = Catalog(tmp_path_factory.mktemp("index"))
    for is_recorded, blob, size_bytes in steps:
        if is_recorded:
            catalog.record_blobs([BlobRecord(digest_of(blob), size_bytes, NOON)])
        else:
            catalog.forget_blobs([digest_of(blob)])
    assert catalog.blob_count == len(catalog.blobs())
    assert catalog.blob_size_bytes == sum(record.size_bytes for record in catalog.blobs())
    catalog.close()


def test_sums_are_right_after_opening_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    catalog.record_blobs([BlobRecord(digest_of(b"one"), 3, NOON)])
    catalog.close()
    catalog = Catalog(tmp_path)
    assert catalog.blob_size_bytes == 3
    catalog.close()


def test_a_tag_is_found_under_its_very_accept(catalog: Catalog) -> None:
    tag = publish(catalog, LATEST, b"one")
    assert catalog.find_tag(LATEST, tag.accept) == tag
    assert catalog.find_tag(LATEST, "application/other") is None
    assert catalog.find_tag(Reference(TINY, "LATEST"), tag.accept) is None


def test_a_blob_is_listed_by_its_own_repository_only(catalog: Catalog) -> None:
    publish(catalog, LATEST, b"three")
    publish(catalog, Reference(OTHER, "latest"), b"one")
    assert catalog.lists(TINY, digest_of(b"three")) == 5
    assert catalog.lists(TINY, digest_of(b"one")) is None
    assert catalog.lists(Repository("library", "tin"), digest_of(b"three")) is None


def test_checking_is_noted_for_the_manifest_that_was_checked(catalog: Catalog) -> None:
    old = publish(catalog, LATEST, b"one")
    catalog.note_checked(old, NOON + 60)
    assert catalog.find_tag(LATEST, old.accept) == replace(old, checked_at=NOON + 60)
    new = publish(catalog, LATEST, b"two")
    catalog.note_checked(old, NOON + 120)
    assert catalog.find_tag(LATEST, old.accept) == new


def test_checking_a_tag_that_went_is_nothing(catalog: Catalog) -> None:
    catalog.note_checked(tag_of(manifest_of()), NOON)
    assert catalog.tags() == []


def test_the_manifest_a_tag_left_goes_on_listing(catalog: Catalog) -> None:
    publish(catalog, LATEST, b"one")
    publish(catalog, LATEST, b"two")
    assert [catalog.lists(TINY, digest) for digest in digests(b"one", b"two")] == [3, 3]
    assert catalog.manifest_count == 2


def test_forgetting_a_manifest_forgets_its_tags_and_what_it_alone_listed(catalog: Catalog) -> None:
    damaged = publish(catalog, LATEST, b"one", b"two")
    kept = publish(catalog, Reference(TINY, "1b"), b"two", b"three")
    elsewhere = publish(catalog, Reference(OTHER, "x"), b"one", b"two")
    assert damaged.digest == elsewhere.digest
    gone = catalog.forget_manifest(damaged.digest)
    assert {tag.reference for tag in gone} == {LATEST, elsewhere.reference}
    assert catalog.tags() == [kept]
    assert [catalog.lists(TINY, each) for each in digests(*BLOBS)] == [None, 3, 5]
    assert [catalog.lists(OTHER, each) for each in digests(*BLOBS)] == [None, None, None]


def test_settling_leaves_what_was_given_and_nothing_else(catalog: Catalog) -> None:
    publish(catalog, LATEST, b"one")
    content = manifest_of(b"two")
    tag = tag_of(content, Reference(OTHER, "x"))
    catalog.settle([tag], [record_of_manifest(content, OTHER)])
    assert catalog.tags() == [tag]
    assert catalog.tag_count == catalog.manifest_count == 1
    assert catalog.lists(TINY, digest_of(b"one")) is None
    assert catalog.lists(OTHER, digest_of(b"two")) == 3


def test_an_index_is_new_until_it_is_settled(tmp_path: Path) -> None:
    for expected in (True, True):
        catalog = Catalog(tmp_path)
        assert catalog.is_new is expected
        catalog.close()
    catalog = Catalog(tmp_path)
    catalog.mark_settled()
    assert not catalog.is_new
    catalog.close()
    catalog = Catalog(tmp_path)
    assert not catalog.is_new
    catalog.close()


def test_an_index_of_another_version_counts_as_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(tmp_path)
    catalog.mark_settled()
    catalog.close()
    monkeypatch.setattr("appliance.store.catalog.VERSION", 2)
    with pytest.raises(EnvironmentDamagedError, match="another version"):
        Catalog(tmp_path)


def test_a_map_that_fills_up_grows_under_the_records(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, map_size_bytes=128 * 1024)
    records = [BlobRecord(digest_of(b"%d" % number), number, NOON) for number in range(3000)]
    catalog.record_blobs(records)
    assert catalog.blob_count == 3000
    assert catalog.blob_size_bytes == sum(range(3000))
    catalog.close()
