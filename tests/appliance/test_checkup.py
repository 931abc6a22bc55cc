"""Which checks a box runs, and that each look says what is so."""

import shutil
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.assembly import LeafKeeper
from appliance.certs import Authority, open_authority
from appliance.checkup import (
    EXPIRY_NOTICE,
    find_address,
    look_at_dates,
    look_at_disk,
    look_at_origin,
    make_door_watch,
    why_unreadable,
)
from appliance.policy.eviction import Budget
from appliance.startup import start
from appliance.store.store import Store, open_store
from appliance.upstream.origin import Origin
from appliance.upstream.source import OriginUnreachableError
from tests.appliance.boxes import LOOPBACK, make_config
from tests.fakes.disk import FailingDisk

NAMES = ("registry.ollama.ai",)


@pytest.fixture
def disk() -> FailingDisk:
    return FailingDisk()


@pytest.fixture
def store(tmp_path: Path, disk: FailingDisk) -> Iterator[Store]:
    with open_store(tmp_path / "state", disk=disk) as store:
        yield store


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return open_authority(tmp_path / "ca", NAMES, now=datetime.now(UTC))


def test_a_disk_with_room_is_well(store: Store, disk: FailingDisk) -> None:
    disk.free = 5_000_000_000
    check = look_at_disk(store, lambda: Budget(1_000_000_000, 2**60))
    assert (check.is_ok, check.detail) == (True, f"5 GB free at {store.root}")


def test_a_disk_short_of_room_is_told(store: Store, disk: FailingDisk) -> None:
    disk.free = 999
    check = look_at_disk(store, lambda: Budget(1000, 2**60))
    assert (check.is_ok, "cache.min_free" in check.detail) == (False, True)


def test_a_disk_that_was_taken_away_is_told(store: Store, tmp_path: Path) -> None:
    store.root.rename(tmp_path / "unmounted")
    check = look_at_disk(store, lambda: Budget(0, 2**60))
    assert (check.is_ok, "mount its disk" in check.detail) == (False, True)
    (tmp_path / "unmounted").rename(store.root)


def test_a_disk_that_goes_while_it_is_looked_at_is_told(store: Store) -> None:
    def budget() -> Budget:
        raise FileNotFoundError(2, "No such file or directory")

    check = look_at_disk(store, budget)
    assert (check.is_ok, "cannot be read" in check.detail) == (False, True)


def test_a_quarantine_that_is_gone_is_told(store: Store) -> None:
    shutil.rmtree(store.root / "quarantine")
    assert not look_at_disk(store, lambda: Budget(0, 2**60)).is_ok


def test_a_store_that_cannot_be_read_is_told(store: Store, tmp_path: Path) -> None:
    assert why_unreadable(store) == ""
    index = store.root / "index" / "data.mdb"
    whole = index.read_bytes()
    index.write_bytes(b"\xff" * len(whole))
    assert "restart the box" in why_unreadable(store)
    index.write_bytes(whole)
    store.root.rename(tmp_path / "unmounted")
    assert "mount its disk" in why_unreadable(store)
    (tmp_path / "unmounted").rename(store.root)


def origin(trouble: OriginUnreachableError | None, *, is_reached: bool) -> Origin:
    return cast("Origin", SimpleNamespace(trouble=trouble, is_reached=is_reached))


def test_the_origin_is_as_it_was_when_last_asked() -> None:
    cut = OriginUnreachableError("the line is cut", hint="call somebody")
    check = look_at_origin(origin(cut, is_reached=True), is_offline=False, is_known=True)
    assert (check.is_ok, check.detail) == (False, "the line is cut: call somebody")
    assert look_at_origin(origin(None, is_reached=True), is_offline=False, is_known=True).is_ok
    not_yet = look_at_origin(origin(None, is_reached=False), is_offline=False, is_known=True)
    assert (not_yet.is_ok, "not been needed" in not_yet.detail) == (True, True)
    unknown = look_at_origin(origin(None, is_reached=False), is_offline=False, is_known=False)
    assert not unknown.is_ok
    assert "dns.upstream" in unknown.detail
    offline = look_at_origin(origin(cut, is_reached=False), is_offline=True, is_known=True)
    assert (offline.is_ok, "cache.offline" in offline.detail) == (True, True)


@pytest.mark.parametrize(
    ("later", "is_ok", "word"),
    [
        (timedelta(0), True, "valid until"),
        (timedelta(days=250), False, "certificate has expired"),
        (timedelta(days=198), False, "certificate has expired"),
    ],
)
def test_certificates_are_held_against_the_clock(
    authority: Authority, later: timedelta, word: str, *, is_ok: bool
) -> None:
    leaf = LeafKeeper(authority, NAMES)
    check = look_at_dates(authority, leaf, datetime.now(UTC) + later)
    assert (check.is_ok, word in check.detail) == (is_ok, True)


def test_a_ca_near_its_end_is_told_in_time(authority: Authority) -> None:
    now = authority.not_after - EXPIRY_NOTICE + timedelta(seconds=1)
    leaf = authority.issue(NAMES, now=now)
    keeper = cast("LeafKeeper", SimpleNamespace(current=lambda: leaf))
    assert look_at_dates(authority, keeper, now - timedelta(days=1)).is_ok
    check = look_at_dates(authority, keeper, now)
    assert (check.is_ok, "the CA expires on" in check.detail) == (False, True)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("", LOOPBACK), ("127.0.0.3", "127.0.0.3"), ("0.0.0.0", LOOPBACK), ("::", "::1")],
)
def test_the_box_reaches_itself_where_it_listens(tmp_path: Path, listen: str, address: str) -> None:
    assert find_address(make_config(tmp_path, BOX_LISTEN=listen)) == address


@pytest.mark.parametrize("enabled", ["true", "false"])
async def test_a_real_box_passes_all_its_checks(tmp_path: Path, enabled: str) -> None:
    config = make_config(tmp_path / "state", DNS_ENABLED=enabled)
    async with AsyncExitStack() as stack:
        box = await start(stack, config, print)
        assert not box.checkup.is_sound
        await box.checkup.self_pull.run_at(box.checkup.self_pull.address)
        if box.engine.responder is not None:
            box.engine.responder.beat(is_healthy=True, truth=())
        check = await box.checkup.run()
        assert check.is_ok, check.detail
        assert {each.is_ok for each in box.checkup.checks().values()} == {True}


async def test_dns_that_listens_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.self_pull.LEAD_SECONDS_MAX", -1.0)
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(tmp_path / "state"), print)
        responder = box.engine.responder
        assert responder is not None
        monkeypatch.setattr(type(responder), "listening", ())
        check = await box.checkup.run()
    assert "it listens nowhere" in check.detail


async def test_a_clock_that_cannot_be_right_closes_the_box(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(tmp_path / "state"), lambda line: None)
        made = box.ground.authority.certificate.not_valid_before_utc.timestamp()
        now = [made + 1]
        watch = make_door_watch(
            box.ground.config,
            box.ground.authority,
            box.ground.store,
            box.engine.origin,
            now=lambda: now[0],
            answered=box.engine.registry.meters.answered,
            tls=box.ground.tls,
            proxy=None,
            web=(),
        )
        assert not await watch.ring()
        now[0] = made - 1
        assert await watch.ring()
        assert "own CA" in watch.closed()["clock"].detail
        now[0] = made + 1
        box.engine.origin._told = (now[0] + 3 * 86400, time.monotonic())
        await watch.ring()
        assert "3 days behind" in watch.closed()["clock"].detail
