"""Manifests: byte for byte, only real ones, and gone as soon as they are not right."""

import errno

import pytest

from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_SIZE_BYTES_MAX, ManifestMalformedError
from appliance.protocol.reference import Reference
from appliance.store.encodings import decode_tag_file
from appliance.store.faults import DigestMismatchError, StoreFullError
from appliance.store.layout import tag_key
from appliance.store.ledger import Ledger
from appliance.store.manifests import Manifests, PublishStep, read_if_there
from appliance.store.premises import Premises
from appliance.store.records import TagMove
from tests.appliance.store.samples import LATEST, NOON, TINY, manifest_of, tag_of
from tests.fakes.disk import FailingDisk

ONE, TWO = manifest_of(b"one"), manifest_of(b"two")


@pytest.fixture
def manifests(premises: Premises, ledger: Ledger) -> Manifests:
    return Manifests(premises, ledger)


def files_in(premises: Premises) -> list[str]:
    layout = premises.layout
    return sorted(
        path.name
        for directory in (layout.manifests, layout.tags, layout.drafts)
        for path in directory.rglob("*")
        if path.is_file()
    )


async def test_what_was_written_is_read_byte_for_byte(manifests: Manifests) -> None:
    odd = b" \n" + ONE.replace(b": ", b" :  ") + b"\r\n"
    await manifests.write(tag_of(odd), odd)
    assert await manifests.read(digest_of(odd)) == odd


async def test_what_was_never_written_is_not_there(manifests: Manifests) -> None:
    assert await manifests.read(digest_of(ONE)) is None


async def test_the_tag_file_and_the_index_say_the_same(
    manifests: Manifests, premises: Premises
) -> None:
    tag = tag_of(ONE)
    await manifests.write(tag, ONE)
    path = premises.layout.tag(tag_key(tag.reference, tag.accept))
    assert decode_tag_file(path.read_bytes(), tag.checked_at) == tag
    assert premises.catalog.find_tag(tag.reference, tag.accept) == tag
    assert premises.catalog.lists(TINY, digest_of(b"one")) == 3


async def test_a_move_is_recorded_with_old_new_and_when(
    manifests: Manifests, ledger: Ledger
) -> None:
    await manifests.write(tag_of(ONE), ONE)
    await manifests.write(tag_of(ONE, stored_at=NOON + 1), ONE)
    assert ledger.moves(LATEST) == []
    await manifests.write(tag_of(TWO, stored_at=NOON + 2), TWO)
    assert ledger.moves(LATEST) == [TagMove(LATEST, digest_of(ONE), digest_of(TWO), NOON + 2)]


async def test_another_accept_is_no_move(manifests: Manifests, ledger: Ledger) -> None:
    await manifests.write(tag_of(ONE), ONE)
    await manifests.write(tag_of(TWO, accept="application/other"), TWO)
    assert ledger.moves(LATEST) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<html>log in</html>", id="a captive portal's page"),
        pytest.param(b"{}", id="an object that is no manifest"),
        pytest.param(b"[" * 100_000, id="nested beyond reading"),
        pytest.param(b" " * (MANIFEST_SIZE_BYTES_MAX + 1), id="too large"),
    ],
)
async def test_what_is_no_manifest_is_not_stored(
    manifests: Manifests, premises: Premises, content: bytes
) -> None:
    with pytest.raises(ManifestMalformedError):
        await manifests.write(tag_of(content), content)
    assert files_in(premises) == []


async def test_another_manifest_than_the_record_names_is_not_stored(
    manifests: Manifests, premises: Premises
) -> None:
    with pytest.raises(DigestMismatchError):
        await manifests.write(tag_of(ONE), TWO)
    assert files_in(premises) == []


async def test_a_damaged_one_goes_with_all_that_names_it(
    manifests: Manifests, premises: Premises
) -> None:
    other = Reference(TINY, "1b")
    await manifests.write(tag_of(ONE), ONE)
    await manifests.write(tag_of(ONE, other), ONE)
    premises.layout.manifest(digest_of(ONE)).write_bytes(ONE.replace(b"3", b"4"))
    assert await manifests.read(digest_of(ONE)) is None
    assert premises.catalog.tags() == []
    assert premises.catalog.lists(TINY, digest_of(b"one")) is None
    assert files_in(premises) == []


async def test_a_lost_one_is_forgotten(manifests: Manifests, premises: Premises) -> None:
    await manifests.write(tag_of(ONE), ONE)
    premises.layout.manifest(digest_of(ONE)).unlink()
    assert await manifests.read(digest_of(ONE)) is None
    assert files_in(premises) == []


async def test_writing_mends_a_damaged_one(manifests: Manifests, premises: Premises) -> None:
    await manifests.write(tag_of(ONE), ONE)
    premises.layout.manifest(digest_of(ONE)).write_bytes(b"damaged")
    await manifests.write(tag_of(ONE), ONE)
    assert await manifests.read(digest_of(ONE)) == ONE


@pytest.mark.parametrize("writes", [0, 1])
async def test_a_full_disk_leaves_the_tag_where_it_was(
    manifests: Manifests, premises: Premises, disk: FailingDisk, writes: int
) -> None:
    await manifests.write(tag_of(ONE), ONE)
    disk.fail("write_at", errno.ENOSPC, after=writes)
    with pytest.raises(StoreFullError):
        await manifests.write(tag_of(TWO), TWO)
    disk.heal()
    assert premises.catalog.find_tag(LATEST, tag_of(ONE).accept) == tag_of(ONE)
    path = premises.layout.tag(tag_key(LATEST, tag_of(ONE).accept))
    assert decode_tag_file(path.read_bytes(), NOON) == tag_of(ONE)


async def test_steps_are_told_in_the_order_of_their_names(manifests: Manifests) -> None:
    steps: list[PublishStep] = []
    await manifests.write(tag_of(ONE), ONE, steps.append)
    assert steps == list(PublishStep)


async def test_a_manifest_that_cannot_be_opened_is_a_fault_and_stays(
    manifests: Manifests, premises: Premises
) -> None:
    path = premises.layout.manifest(digest_of(ONE))
    path.mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        await manifests.read(digest_of(ONE))
    with pytest.raises(IsADirectoryError):
        read_if_there(path)
