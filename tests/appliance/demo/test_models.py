"""Models: the same on every run, named by what they hold, no two blocks alike."""

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.models import (
    BLOCK_SIZE_BYTES,
    MODEL_TYPE,
    assemble,
    blocks,
    write_blob,
    write_model,
    write_sparse_blob,
)
from appliance.protocol.manifest import parse_manifest
from appliance.protocol.reference import Repository


@given(size=st.integers(0, 3 * BLOCK_SIZE_BYTES))
def test_a_blob_is_as_long_as_asked(size: int) -> None:
    assert sum(map(len, blocks("seed", size))) == size


def test_no_two_blocks_are_equal_and_every_run_makes_the_same() -> None:
    first, second = list(blocks("seed", 8 * BLOCK_SIZE_BYTES)), list(blocks("seed", 2**23))
    assert len(set(first)) == 8
    assert first == second


def test_a_blob_is_named_by_what_is_on_disk(tmp_path: Path) -> None:
    blob = write_blob(tmp_path, MODEL_TYPE, blocks("seed", 1_500_000))
    content = blob.path.read_bytes()
    assert hashlib.sha256(content).hexdigest() == blob.digest.encoded == blob.path.name
    assert len(content) == blob.size_bytes == 1_500_000


def test_a_sparse_blob_is_zeros_and_may_be_empty(tmp_path: Path) -> None:
    blob = write_sparse_blob(tmp_path, MODEL_TYPE, 2_000_000)
    assert blob.digest.encoded == hashlib.sha256(bytes(2_000_000)).hexdigest()
    assert blob.path.stat().st_blocks == 0
    assert write_sparse_blob(tmp_path, MODEL_TYPE, 0).digest.encoded == hashlib.sha256().hexdigest()


def test_a_manifest_lists_weights_small_layers_and_config(tmp_path: Path) -> None:
    model = write_model(tmp_path, "someone/thing:4b", [10, 20], tags=["latest"])
    manifest = parse_manifest(model.manifest)
    kinds = [each.media_type.rpartition(".")[2] for each in manifest.descriptors]
    assert kinds == ["model", "model", "template", "license", "params", "v1+json"]
    assert manifest.total_size_bytes == model.blob_bytes
    assert model.tags == ("4b", "latest")
    assert str(model.repository) == "someone/thing"


def test_a_config_may_be_left_out(tmp_path: Path) -> None:
    blob = write_sparse_blob(tmp_path, MODEL_TYPE, 5)
    model = assemble(Repository("library", "bare"), ["latest"], [blob], None)
    assert [each.digest for each in parse_manifest(model.manifest).descriptors] == [blob.digest]
