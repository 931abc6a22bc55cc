"""The audit log: one line a wish, for its owner's eyes, and never longer than its bound."""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import FILE_NAME, FILES_KEPT, Audit


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    opened = Audit(tmp_path, now=lambda: 1_700_000_000.0)
    yield opened
    opened.close()


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / FILE_NAME).read_text().splitlines()]


def test_a_line_says_who_what_and_what_came_of_it(audit: Audit, tmp_path: Path) -> None:
    audit.note("admin", "10.0.0.7", "rm", {"model": "tiny\nx"}, "done")
    assert lines(tmp_path) == [
        {
            "at": "2023-11-14T22:13:20Z",
            "who": "admin",
            "from": "10.0.0.7",
            "deed": "rm",
            "wish": {"model": "tiny\nx"},
            "outcome": "done",
        }
    ]
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_it_grows_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.audit.FILE_SIZE_BYTES_MAX", 1000)
    audit = Audit(tmp_path, now=lambda: 1_700_000_000.0)
    for number in range(200):
        audit.note("admin", "10.0.0.7", "pin", {"model": str(number)}, "done")
    audit.close()
    files = list(tmp_path.iterdir())
    assert len(files) == FILES_KEPT + 1
    assert all(path.stat().st_size <= 1000 for path in files)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    assert lines(tmp_path)[-1]["wish"] == {"model": "199"}


async def test_a_watched_deed_leaves_a_line_however_it_ends(audit: Audit, tmp_path: Path) -> None:
    async def deed(wish: Mapping[str, Any]) -> Any:
        if wish["fails"]:
            raise OSError("no")
        return 5

    watched = audit.watch("local", "control.sock", "gc", deed)
    assert await watched({"fails": False}) == 5
    with pytest.raises(OSError, match="no"):
        await watched({"fails": True})
    assert [line["outcome"] for line in lines(tmp_path)] == ["done", "refused: no"]
