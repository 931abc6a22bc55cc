"""A whole box in this process, on loopback: ready, asked, broken, mended, stopped."""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance import checkup, self_pull, supervisor
from appliance.control import SOCKET_NAME, ask_box, call_health, wish_of_box
from appliance.demo.ports import choose_port
from appliance.policy.delivery import Delivery
from appliance.policy.learning import Subject
from appliance.self_pull import SelfPull, SelfPullError
from appliance.startup import start
from appliance.store.faults import StoreLockedError
from appliance.store.store import open_store
from appliance.web.learnt import FORGET_LEARNT
from tests.appliance.boxes import LOOPBACK, RunningBox, make_config, running_box
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.dns.questions import REGISTRY, gives, until_true
from tests.faults.listening import closed_listener

TRUTH = "104.21.75.227"


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "CHECKUP_SECONDS", 0.02)
    monkeypatch.setattr(supervisor, "RECHECK_SECONDS", 0.02)
    monkeypatch.setattr(checkup, "ASK_SECONDS", 0.5)
    monkeypatch.setattr(self_pull, "LEAD_SECONDS_MAX", 1.0)


async def health_of(box: RunningBox) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{box.url}/health") as reply:
        return reply.status, await reply.json()


async def until_health(box: RunningBox, code: int) -> dict[str, Any]:
    found: dict[str, Any] = {}

    async def is_so() -> bool:
        status, document = await health_of(box)
        found.update(document)
        return status == code

    await until_true(is_so)
    return found


async def test_a_box_says_what_it_is_does_and_wants(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        assert box.said[-1] == "ready"
        (checked,) = (line for line in box.said if line.startswith("self-check: "))
        assert "through DNS, TLS and cache at 127.0.0.1" in checked
        assert any(f"dig @{LOOPBACK} -p {box.config.dns.port}" in line for line in box.said)
        assert any(line.endswith("/library/llama3.2") for line in box.said)
        code, document = await health_of(box)
        assert (code, document["status"]) == (200, "healthy")
        assert {each["ok"] for each in document["checks"].values()} == {True}
        assert set(document["checks"]) == {
            "dns", "proxy", "web", "index", "pump", "connect", "disk", "upstream", "ca", "inline",
            "blobs",
        }  # fmt: skip
        assert await gives([LOOPBACK], (LOOPBACK, box.config.dns.port), REGISTRY)
    assert box.said[-1].startswith("stopping: ")
    assert not (box.config.state_dir / SOCKET_NAME).exists()


async def test_what_was_learnt_is_told_and_forgotten(tmp_path: Path) -> None:
    subject = Subject("192.168.1.20", (0, 36, 0), Delivery.TLS)
    config = make_config(tmp_path / "state")
    with open_store(config.state_dir) as store:
        store.replace_lessons({subject: time.time() - 60})
    async with running_box(config):
        (lesson,) = await ask_box(config.state_dir, "learnt")
        assert (lesson["client"], lesson["missed"]) == ("192.168.1.20", "tls")
        assert await wish_of_box(config.state_dir, FORGET_LEARNT, {}) == [lesson]
        assert await ask_box(config.state_dir, "learnt") == []
    with open_store(config.state_dir) as store:
        assert store.lessons() == {}


async def test_the_verbs_are_answered(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        status = await ask_box(box.config.state_dir, "status")
        assert await ask_box(box.config.state_dir, "models") == []
    assert (status["status"], status["pid"]) == ("healthy", os.getpid())
    assert status["dns"] == [[LOOPBACK, box.config.dns.port]]
    assert (status["tls_port"], status["web_ports"]) == (
        box.config.tls.port,
        list(box.config.web.ports),
    )
    assert (status["addresses"], status["fills"]) == ([LOOPBACK], [])
    assert status["ca_fingerprint"].count(":") == 31
    assert status["checks"]["upstream"]["ok"]


async def test_status_is_told_also_once_the_state_directory_is_gone(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        (tmp_path / "state").rename(tmp_path / "away")
        places = [(LOOPBACK, box.config.web.ports[0])]
        told = await asyncio.to_thread(call_health, box.config.state_dir, places)
        (tmp_path / "away").rename(tmp_path / "state")
    assert "is gone: mount its disk again" in told["checks"]["disk"]["detail"]


async def test_a_second_box_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        with pytest.raises(StoreLockedError) as caught:
            async with AsyncExitStack() as stack:
                await start(stack, make_config(tmp_path / "state"), print)
        assert caught.value.pid == os.getpid()
        assert f"kill {os.getpid()}" in caught.value.hint
        assert (await health_of(box))[0] == 200


async def test_health_tells_of_dns_that_hangs_and_of_its_recovery(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        os.kill(box.dns_pid, signal.SIGSTOP)
        try:
            document = await until_health(box, 503)
        finally:
            os.kill(box.dns_pid, signal.SIGCONT)
        assert document["status"] == "unhealthy"
        assert "silent" in document["checks"]["dns"]["detail"]
        await until_health(box, 200)
        assert await gives([LOOPBACK], (LOOPBACK, box.config.dns.port), REGISTRY)


async def test_dns_that_dies_is_replaced(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state")) as box:
        before = box.dns_pid
        os.kill(before, signal.SIGKILL)
        at = (LOOPBACK, box.config.dns.port)

        async def is_back() -> bool:
            return box.dns_pid != before and await gives([LOOPBACK], at, REGISTRY)

        await until_true(is_back)
        await until_health(box, 200)
    assert box.said.count("ready") == 1


def breakable(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make every self-pull fail with a sentence, or work again with none."""
    broken, run_at = [""], SelfPull.run_at

    async def run_or_fail(pull: SelfPull, address: str) -> int:
        if broken[0]:
            raise SelfPullError("web", broken[0])
        return await run_at(pull, address)

    monkeypatch.setattr(SelfPull, "run_at", run_or_fail)

    def set_broken(sentence: str) -> None:
        broken[0] = sentence

    return set_broken


async def test_a_broken_box_sends_clients_to_the_true_registry_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_broken = breakable(monkeypatch)
    caplog.set_level(logging.INFO, "box")
    async with NameServer(zone(f"{REGISTRY} 300 A {TRUTH}")) as upstream:
        config = make_config(
            tmp_path / "state",
            CACHE_OFFLINE="false",
            DNS_UPSTREAM=f"{upstream.at[0]}:{upstream.at[1]}",
        )
        async with running_box(config) as box:
            at = (LOOPBACK, config.dns.port)
            set_broken("the cable is cut")
            await until_true(lambda: gives([TRUTH], at, REGISTRY))
            assert (await health_of(box))[0] == 503
            set_broken("")
            await until_true(lambda: gives([LOOPBACK], at, REGISTRY))
            await until_health(box, 200)
            await until_true(lambda: is_said("passed again", caplog))
            assert box.said.count("ready") == 1
    assert "self-check failed, DNS sends clients to the origin: the cable is cut" in caplog.text


async def is_said(words: str, caplog: pytest.LogCaptureFixture) -> bool:
    return words in caplog.text


async def test_ready_waits_for_the_first_self_pull_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_broken = breakable(monkeypatch)
    set_broken("not yet")
    async with asyncio.TaskGroup() as group:
        mender = group.create_task(mend_once_said(set_broken, caplog))
        async with running_box(make_config(tmp_path / "state")) as box:
            assert mender.done()
    assert box.said.count("ready") == 1


async def mend_once_said(
    set_broken: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    await until_true(lambda: is_said("self-check failed", caplog))
    set_broken("")


async def test_a_box_without_dns_works_for_those_who_bring_theirs(tmp_path: Path) -> None:
    async with running_box(make_config(tmp_path / "state", DNS_ENABLED="false")) as box:
        assert any("point registry.ollama.ai at 127.0.0.1" in line for line in box.said)
        assert (await health_of(box))[0] == 200
        assert (await ask_box(box.config.state_dir, "status"))["dns"] == []


async def test_the_collector_begins_when_the_box_is_up(tmp_path: Path) -> None:
    gc.disable()  # As the command line has it.
    try:
        async with running_box(make_config(tmp_path / "state")):
            assert gc.isenabled()
            assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.enable()


async def test_a_restart_keeps_the_ca_and_the_doors(tmp_path: Path) -> None:
    config = make_config(tmp_path / "state", WEB_PORTS=f"{choose_port()},{choose_port()}")
    fingerprints = set()
    for _ in range(2):
        async with running_box(config):
            status = await ask_box(config.state_dir, "status")
            assert status["web_ports"] == list(config.web.ports)
            fingerprints.add(status["ca_fingerprint"])
    assert len(fingerprints) == 1


async def test_a_service_manager_hears_that_it_is_ready_lives_and_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        async with running_box(make_config(tmp_path / "state")):
            heard: list[bytes] = []
            while b"WATCHDOG=1" not in heard or not any(b"READY=1" in each for each in heard):
                heard.append(await asyncio.to_thread(manager.recv, 4096))
        while heard[-1] != b"STOPPING=1":
            heard.append(manager.recv(4096))
    (ready, *_) = (each for each in heard if b"READY=1" in each)
    assert ready.startswith(b"READY=1\nSTATUS=pulled ollama-appliance/self-check")


async def test_a_door_that_closes_sends_clients_to_the_true_registry_until_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "CHECKUP_SECONDS", 3600.0)
    monkeypatch.setattr(supervisor, "RING_SECONDS", 0.02)
    async with NameServer(zone(f"{REGISTRY} 300 A {TRUTH}")) as upstream:
        config = make_config(
            tmp_path / "state",
            CACHE_OFFLINE="false",
            DNS_UPSTREAM=f"{upstream.at[0]}:{upstream.at[1]}",
        )
        async with running_box(config) as box:
            at = (LOOPBACK, config.dns.port)
            with closed_listener(config.tls.port):
                await until_true(lambda: gives([TRUTH], at, REGISTRY))
                document = await until_health(box, 503)
                assert "https does not" in document["checks"]["proxy"]["detail"]
            await until_true(lambda: gives([LOOPBACK], at, REGISTRY))
            await until_health(box, 200)


async def test_a_chore_that_fails_is_told_and_done_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done, is_done = [0], asyncio.Event()

    def chore() -> None:
        done[0] += 1
        if done[0] == 1:
            raise OSError("the disk is gone")
        is_done.set()

    async with asyncio.TaskGroup() as group:
        repeating = group.create_task(supervisor._repeat(0, chore))
        await is_done.wait()
        repeating.cancel()
    assert "the box goes on" in caplog.text
