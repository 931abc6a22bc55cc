"""Deposits: what is kept lies where it belongs, and what is compared is compared to the byte."""

import asyncio
from pathlib import Path

import pytest

from appliance.demo.client import Client
from appliance.demo.deposit import Comparing, DigestMismatchError, Keeping
from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside
from tests.appliance.demo.conftest import pull

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original"
    path.write_bytes(CONTENT)
    return path


def test_pieces_are_kept_where_they_belong(tmp_path: Path) -> None:
    with Keeping(tmp_path / "kept", 10) as deposit:
        deposit.take(memoryview(b"cd"), 6)
        deposit.take(memoryview(b"ab"), 1)
    assert (tmp_path / "kept").read_bytes() == b"\0ab\0\0\0cd\0\0"


def test_right_pieces_pass_a_comparison(original: Path) -> None:
    with Comparing(original, len(CONTENT)) as deposit:
        for start in range(0, len(CONTENT), 100):
            deposit.take(memoryview(CONTENT)[start : start + 100], start)


@pytest.mark.parametrize("wrong", [0, 1, 511, 1023])
def test_one_bit_in_any_place_fails_it(original: Path, wrong: int) -> None:
    content = bytearray(CONTENT)
    content[wrong] ^= 1
    with (
        Comparing(original, len(CONTENT)) as deposit,
        pytest.raises(DigestMismatchError, match=f"differs in the 1024 bytes at {0}"),
    ):
        deposit.take(memoryview(content), 0)


@pytest.mark.parametrize("position", [1, 1020])
def test_so_do_bytes_in_the_wrong_place_or_past_the_end(original: Path, position: int) -> None:
    with (
        Comparing(original, len(CONTENT)) as deposit,
        pytest.raises(DigestMismatchError),
    ):
        deposit.take(memoryview(CONTENT)[:10], position)


@pytest.mark.parametrize("size_bytes", [1023, 1025])
def test_a_blob_of_another_size_is_another_blob(original: Path, size_bytes: int) -> None:
    with pytest.raises(DigestMismatchError, match=f"has not {size_bytes} bytes"):
        Comparing(original, size_bytes)


def comparing_client(outside: Outside, model: DemoModel, directory: Path) -> Client:
    originals = {each.digest: each.path for each in model.blobs}
    habits = Habits(part_bytes_min=50_000, pace=100)
    return Client(directory, outside.surroundings, habits, originals=originals)


async def test_a_client_that_keeps_nothing_leaves_no_blob_and_knows_it_is_right(
    outside: Outside, model: DemoModel, tmp_path: Path
) -> None:
    client = comparing_client(outside, model, tmp_path / "client")
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert {each.digest for each in pulled.blobs} == {each.digest for each in model.blobs}
    assert outside.ledger.upstream_bytes == model.blob_bytes
    assert await asyncio.to_thread(lambda: [*(tmp_path / "client" / "blobs").iterdir()]) == []


async def test_it_knows_a_wrong_bit(outside: Outside, model: DemoModel, tmp_path: Path) -> None:
    outside.faults.flipped.add(model.blobs[0].digest)
    with pytest.raises(DigestMismatchError, match=model.blobs[0].digest.encoded):
        await pull(comparing_client(outside, model, tmp_path / "client"))
