"""Parts: Ollama's arithmetic, and what survives between two pulls."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.parts import Part, PartFiles, plan_parts

MB, GB, MIB = 10**6, 10**9, 2**20


@pytest.mark.parametrize(
    ("total", "count", "size"),
    [
        pytest.param(0, 0, 0, id="empty"),
        pytest.param(1, 1, 1, id="one byte"),
        pytest.param(100 * MB, 1, 100 * MB, id="up to 100 MB: one part"),
        pytest.param(100 * MB + 1, 2, 100 * MB, id="a byte more: two"),
        pytest.param(400 * MIB, 5, 100 * MB, id="400 MiB: five"),
        pytest.param(1_600 * MB, 16, 100 * MB, id="from 1.6 GB on: sixteen equal ones"),
        pytest.param(16 * GB, 16, GB, id="up to 16 GB"),
        pytest.param(40 * GB, 40, GB, id="larger: 1 GB each"),
    ],
)
def test_the_arithmetic_is_the_clients(total: int, count: int, size: int) -> None:
    parts = plan_parts(total)
    assert len(parts) == count
    assert not parts or parts[0].size_bytes == size


def test_releases_up_to_0_3_6_cut_into_sixty_four() -> None:
    parts = plan_parts(12_800 * MB, count=64)
    assert (len(parts), parts[0].size_bytes) == (64, 200 * MB)


@given(total=st.integers(0, 10**6), least=st.integers(1000, 10**5), most=st.integers(10**5, 10**6))
def test_parts_cover_every_byte_once(total: int, least: int, most: int) -> None:
    parts = plan_parts(total, least, most)
    edges = [0, *(each.stop for each in parts)]
    assert edges == [*(each.offset_bytes for each in parts), total]
    assert [each.number for each in parts] == list(range(len(parts)))


def test_parts_are_remembered_in_the_clients_own_shape(tmp_path: Path) -> None:
    files = PartFiles(tmp_path / "sha256-abc")
    files.write(Part(1, 100, 50, 7))
    written = json.loads((tmp_path / "sha256-abc-partial-1").read_text())
    assert written == {"N": 1, "Offset": 100, "Size": 50, "Completed": 7}


def test_parts_come_back_in_order_and_go_when_finished(tmp_path: Path) -> None:
    files = PartFiles(tmp_path / "sha256-abc")
    parts = plan_parts(1200, 100, 100)
    for part in reversed(parts):
        files.write(part)
    files.data.write_bytes(b"x")
    assert files.read_all() == parts
    files.finish(parts)
    assert [each.name for each in tmp_path.iterdir()] == ["sha256-abc"]


def test_a_part_goes_on_where_it_ended() -> None:
    part = Part(0, 100, 50, completed_bytes=20)
    assert (part.start, part.stop, part.is_complete) == (120, 150, False)
    assert Part(0, 0, 5, 5).is_complete
