"""The marker: made once, asked for ever after."""

from pathlib import Path

import pytest

from appliance.store.disk import Disk
from appliance.store.faults import StoreUnmarkedError
from appliance.store.layout import Layout
from appliance.store.marker import is_marked, read_marker, settle_marker


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_a_new_directory_is_marked_once(layout: Layout) -> None:
    store_id = settle_marker(layout, Disk())
    assert settle_marker(layout, Disk()) == store_id == read_marker(layout)


def test_two_stores_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = settle_marker(Layout(tmp_path / "a"), Disk())
    assert first != settle_marker(Layout(tmp_path / "b"), Disk())


@pytest.mark.parametrize("used", ["blobs/sha256", "ledger", "manifests/sha256", "tags"])
def test_a_used_directory_without_a_marker_is_not_taken_for_a_new_one(
    layout: Layout, used: str
) -> None:
    (layout.root / used).mkdir(parents=True)
    with pytest.raises(StoreUnmarkedError, match="missing"):
        settle_marker(layout, Disk())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 2, "store": "x"}', '{"format": 1}', '{"store": 3}']
)
def test_a_marker_that_is_none_of_ours_is_refused(layout: Layout, content: str) -> None:
    layout.marker.write_text(content)
    with pytest.raises(StoreUnmarkedError, match="cannot be read"):
        settle_marker(layout, Disk())


def test_other_rooms_files_do_not_make_a_directory_used(layout: Layout) -> None:
    (layout.root / "ca").mkdir()
    (layout.root / "secret").touch()
    assert settle_marker(layout, Disk())


def test_a_marker_half_written_is_written_again(layout: Layout) -> None:
    layout.marker_draft.write_text("{")
    assert settle_marker(layout, Disk()) == read_marker(layout)


def test_a_directory_that_went_away_is_marked_no_more(layout: Layout, tmp_path: Path) -> None:
    store_id = settle_marker(layout, Disk())
    assert is_marked(layout, store_id)
    assert not is_marked(layout, "another")
    layout.marker.rename(tmp_path / "elsewhere")
    assert not is_marked(layout, store_id)
