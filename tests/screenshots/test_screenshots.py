"""The pictures that docs/ shows: there, small, and each with words for who cannot see it."""

import re
from pathlib import Path

import pytest
from PIL import Image

from tests.screenshots.__main__ import PLACE, SHOTS, Shot, shrink

HOUSE = Path(__file__).parents[2]
SIZE_BYTES_MAX = 150_000
SHOWN = re.compile(r"!\[([^]]*)\]\(([^)]*\.png)\)|<img src=\"([^\"]*)\" alt=\"([^\"]*)\"")


def shown() -> list[tuple[Path, str]]:
    """Each picture that a document shows, and its words."""
    found = []
    for document in (HOUSE / "README.md", *(HOUSE / "docs").glob("*.md")):
        for words, path, tag_path, tag_words in SHOWN.findall(document.read_text("utf-8")):
            found.append((document.parent / (path or tag_path), words or tag_words))
    return found


def test_every_picture_is_shown_and_every_one_that_is_shown_is_there() -> None:
    taken = {PLACE / f"{shot.name}.png" for shot in SHOTS}
    assert {path for path, _ in shown()} == taken == set(PLACE.iterdir())
    assert all(len(words) > 20 for _, words in shown())


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_a_picture_is_small_and_of_its_window_s_size(shot: Shot) -> None:
    path = PLACE / f"{shot.name}.png"
    assert path.stat().st_size <= SIZE_BYTES_MAX
    with Image.open(path) as picture:
        assert (picture.size, picture.mode) == ((shot.width, shot.height), "P")


def test_a_picture_with_a_palette_is_the_same_picture(tmp_path: Path) -> None:
    path = tmp_path / "two.png"
    picture = Image.new("RGB", (40, 20), (10, 20, 30))
    picture.paste((200, 100, 50), (0, 0, 20, 20))
    picture.save(path)
    (tmp_path / "small.png").write_bytes(shrink(path.read_bytes()))
    with Image.open(tmp_path / "small.png") as small:
        assert small.convert("RGB").tobytes() == picture.tobytes()
