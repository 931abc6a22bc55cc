"""A sharded directory: in order, each file with the digest it is named by, or with none."""

from pathlib import Path

from appliance.protocol.digest import digest_of
from appliance.store.listing import list_entries, list_files, read_name
from tests.appliance.store.samples import plant

DIGEST = digest_of(b"a blob")
SHARD = DIGEST.encoded[:2]


def test_a_file_is_named_by_a_digest_in_its_own_shard_or_by_none(tmp_path: Path) -> None:
    right = tmp_path / SHARD / DIGEST.encoded
    wrong = [
        tmp_path / ("00" if SHARD != "00" else "01") / DIGEST.encoded,
        tmp_path / DIGEST.encoded[:3] / DIGEST.encoded,
        tmp_path / SHARD / f"{DIGEST.encoded}.json",
        tmp_path / SHARD / DIGEST.encoded[:63],
        tmp_path / SHARD / "lost+found",
    ]
    for path in [right, *wrong]:
        plant(path, b"")
    plant(tmp_path / "in no shard", b"")
    found = dict(list_files(tmp_path))
    assert found == {right: DIGEST} | dict.fromkeys(wrong)


def test_a_suffix_is_part_of_each_name(tmp_path: Path) -> None:
    plant(tmp_path / SHARD / f"{DIGEST.encoded}.json", b"")
    plant(tmp_path / SHARD / DIGEST.encoded, b"")
    found = [digest for _, digest in list_entries(tmp_path, ".json")]
    assert found == [None, DIGEST]


def test_they_come_in_order(tmp_path: Path) -> None:
    digests = sorted(digest_of(bytes([number])).encoded for number in range(20))
    for encoded in digests:
        plant(tmp_path / encoded[:2] / encoded, b"")
    assert [entry.name for entry, _ in list_entries(tmp_path)] == digests


def test_only_a_digest_is_read_as_one() -> None:
    assert read_name(DIGEST.encoded) == DIGEST
    assert read_name(DIGEST.encoded.upper()) is None
    assert read_name("") is None
