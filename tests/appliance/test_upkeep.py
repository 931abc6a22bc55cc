"""The deeds: on an open store, through a running box's socket, and where no box runs."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from appliance.cache.janitor import UnknownModelError
from appliance.control import BoxNotRunningError, BoxPuzzledError, BoxRefusesError, Control
from appliance.protocol.digest import digest_of
from appliance.store.store import Store, open_store
from appliance.store.verify import VerifyReport
from appliance.upkeep import (
    ModelNameError,
    Upkeep,
    make_janitor,
    make_scrubber,
    perform,
    read_model,
)
from appliance.upstream.builtin import BuiltinSource
from tests.appliance.store.samples import LATEST, manifest_of, plant, store_blob, tag_of

DRY = {"model": "tiny", "dry_run": True}
WET = {"model": "tiny", "dry_run": False}


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A short path: the name of a Unix socket has at most 108 bytes."""
    with TemporaryDirectory(prefix="box-") as name:
        yield Path(name) / "state"


async def fill(store: Store) -> None:
    content = manifest_of(b"one")
    await store.write_manifest(tag_of(content), content)
    store_blob(store, b"one")


def fill_directory(state_dir: Path) -> None:
    with open_store(state_dir) as store:
        asyncio.run(fill(store))


def test_with_no_box_the_store_is_opened_and_closed_again(state_dir: Path) -> None:
    fill_directory(state_dir)
    assert perform(state_dir, "pin", {"model": "tiny"}) == {"held": True}
    assert perform(state_dir, "unpin", {"model": "tiny"}) == {"was_pinned": True}
    freed = {"models": ["tiny"], "manifests": 1, "blobs": 1, "freed_bytes": 3}
    assert perform(state_dir, "rm", DRY) == freed
    assert perform(state_dir, "rm", WET) == freed
    with pytest.raises(UnknownModelError):
        perform(state_dir, "rm", WET)
    with open_store(state_dir) as store:
        assert store.models() == []


async def test_a_running_box_is_asked(state_dir: Path) -> None:
    with open_store(state_dir) as store:
        await fill(store)
        deeds = Upkeep(store, make_janitor(store), make_scrubber(store)).deeds()
        async with Control(state_dir, {}, deeds):
            done = await asyncio.to_thread(perform, state_dir, "rm", WET)
            assert done["freed_bytes"] == 3
            with pytest.raises(BoxRefusesError) as caught:
                await asyncio.to_thread(perform, state_dir, "rm", WET)
            assert str(caught.value) == "library/tiny:latest is not held"
            assert caught.value.hint == "see what is: ollama-appliance models"
            with pytest.raises(BoxPuzzledError):
                await asyncio.to_thread(perform, state_dir, "dance", {})
        assert store.models() == []


def test_with_neither_box_nor_state_it_says_so(state_dir: Path) -> None:
    with pytest.raises(BoxNotRunningError):
        perform(state_dir, "gc", {"dry_run": False})
    assert not state_dir.exists()


def test_space_is_freed_and_what_nothing_names_is_collected(state_dir: Path) -> None:
    fill_directory(state_dir)
    with open_store(state_dir) as store:
        store_blob(store, b"loose")
    assert perform(state_dir, "gc", {"dry_run": False})["freed_bytes"] == 5
    evicted = perform(state_dir, "evict", {"bytes": 1, "dry_run": False})
    assert (evicted["models"], evicted["freed_bytes"]) == (["tiny"], 3)


def test_the_box_s_own_model_is_not_freed(state_dir: Path) -> None:
    (own, *_) = BuiltinSource().digests
    with open_store(state_dir) as store:
        janitor = make_janitor(store)
        assert own in janitor._find_kept()


def test_verify_tells_what_is_wrong(state_dir: Path) -> None:
    fill_directory(state_dir)
    assert perform(state_dir, "verify", {}) == {"problems": [], "blob_count": 1, "read_bytes": 3}
    encoded = digest_of(b"one").encoded
    plant(state_dir / "blobs" / "sha256" / encoded[:2] / encoded, b"two")
    (problem,) = perform(state_dir, "verify", {})["problems"]
    assert encoded in problem


def test_without_a_box_bad_bytes_are_taken_out_of_service(state_dir: Path) -> None:
    fill_directory(state_dir)
    sound = {"blob_count": 1, "read_bytes": 3, "damaged": []}
    assert perform(state_dir, "scrub", {}) == sound
    assert perform(state_dir, "scrub", {"model": "tiny"}) == sound
    digest = digest_of(b"one")
    encoded = digest.encoded
    plant(state_dir / "blobs" / "sha256" / encoded[:2] / encoded, b"onf")
    (damage,) = perform(state_dir, "scrub", {"model": "tiny"})["damaged"]
    assert damage == {"digest": str(digest), "bad_bytes": 3, "mended": False}
    assert perform(state_dir, "verify", {})["problems"] == []
    with pytest.raises(UnknownModelError):
        perform(state_dir, "scrub", {"model": "other"})


@pytest.mark.parametrize("text", ["", "a b", "registry.example/a/b", "../../etc", "a:b:c"])
def test_what_is_no_model_s_name_is_refused(text: str) -> None:
    with pytest.raises(ModelNameError):
        read_model(text)


async def test_a_model_may_be_pinned_before_it_is_here(tmp_path: Path) -> None:
    with open_store(tmp_path / "state") as store:
        upkeep = Upkeep(store, make_janitor(store), make_scrubber(store))
        assert await upkeep.pin({"model": "tiny"}) == {"held": False}
        await fill(store)
        assert store.models()[0].is_pinned
        assert store.models()[0].reference == LATEST


def test_whoever_does_it_here_can_be_asked_how_far_it_is(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_directory(state_dir)
    doers: list[Upkeep] = []
    seen: list[dict[str, int] | None] = []

    def verify(store: Store, note_read: Callable[[int], None]) -> VerifyReport:
        for size_bytes in (1, 2):
            note_read(size_bytes)
            seen.append(dict(doers[0].progress("verify") or {}))
        return VerifyReport((), 1, 3)

    monkeypatch.setattr(Store, "verify", verify)
    perform(state_dir, "verify", {}, doers.append)
    assert seen == [
        {"read_bytes": 1, "total_bytes": 3},
        {"read_bytes": 3, "total_bytes": 3},
    ]
    assert doers[0].progress("verify") is None
    assert doers[0].progress("scrub") is None
