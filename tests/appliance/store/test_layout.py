"""The tree: names made of digits, nothing outside the root, no two things in one place."""

from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Reference
from appliance.store import layout as module
from appliance.store.layout import Layout, tag_key
from tests.appliance.store.samples import LATEST, TINY

LAYOUT = Layout(Path("/state"))
DIGEST = digest_of(b"")


def test_a_blob_lies_in_the_shard_of_its_first_two_digits() -> None:
    assert LAYOUT.blob(DIGEST) == Path("/state/blobs/sha256/e3") / DIGEST.encoded


def test_everything_lies_in_a_place_of_its_own() -> None:
    places = [
        *(LAYOUT.marker, LAYOUT.marker_draft, LAYOUT.lock, LAYOUT.index, LAYOUT.index_damaged),
        *(LAYOUT.index_opening, LAYOUT.ledger, LAYOUT.blob(DIGEST), LAYOUT.manifest(DIGEST)),
        *(LAYOUT.tag(DIGEST), LAYOUT.pending_bytes(DIGEST), LAYOUT.pending_note(DIGEST)),
        *(LAYOUT.quarantined(DIGEST), LAYOUT.draft(0), LAYOUT.draft(1)),
    ]
    assert len(set(places)) == len(places)
    assert all(place.is_relative_to("/state") for place in places)


def test_every_file_has_its_directory_in_the_list_or_a_shard() -> None:
    directories = set(LAYOUT.directories())
    for place in (LAYOUT.blob(DIGEST), LAYOUT.manifest(DIGEST), LAYOUT.tag(DIGEST)):
        assert place.parent.parent in directories
    for place in (LAYOUT.pending_bytes(DIGEST), LAYOUT.quarantined(DIGEST), LAYOUT.draft(0)):
        assert place.parent in directories


def test_parents_come_before_their_children() -> None:
    directories = list(LAYOUT.directories())
    for number, path in enumerate(directories[1:], start=1):
        assert path.parent in directories[:number]


def test_the_docstring_shows_the_whole_tree() -> None:
    assert module.__doc__
    shown = {
        line.split("── ")[1].split()[0] for line in module.__doc__.splitlines() if "──" in line
    }
    tops = {PurePosixPath(name).parts[0] for name in shown}
    assert {path.relative_to("/state").parts[0] for path in [*LAYOUT.directories()][1:]} <= tops
    assert {"marker", "lock", "index.damaged", "index.opening"} <= tops


@given(accept=st.text())
def test_a_tag_file_is_named_by_digits_whatever_was_asked(accept: str) -> None:
    name = LAYOUT.tag(tag_key(LATEST, accept)).name
    assert set(name.removesuffix(".json")) <= set("0123456789abcdef")


def test_the_key_tells_tags_accepts_and_spellings_apart() -> None:
    keys = {tag_key(Reference(TINY, tag), accept) for tag in ("a", "A", "b") for accept in "xy"}
    assert len(keys) == 6
