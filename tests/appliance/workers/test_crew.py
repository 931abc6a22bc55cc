"""Workers as the box has them: real processes, and real accidents."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from appliance.box import Box
from appliance.startup import start
from appliance.upstream.builtin import BUILTIN
from appliance.workers import crew as crew_module
from appliance.workers.crew import Place
from tests.appliance.boxes import make_config
from tests.fakes.wire import dial

MANIFEST = f"/v2/{BUILTIN.repository}/manifests/{BUILTIN.target}"
SECONDS = 20.0  # A busy machine takes a while to start Python.


@asynccontextmanager
async def box_with(count: int, state: Path) -> AsyncIterator[Box]:
    config = make_config(state, BOX_WORKERS=str(count), DNS_ENABLED="false")
    async with AsyncExitStack() as stack:
        yield await start(stack, config, lambda _: None)


async def ask(box: Box, port: int) -> int:
    """The status of a manifest that is asked for by `port`."""
    trusted = ssl.create_default_context(cadata=box.facts.ca_pem.decode())
    async with dial(port, trusted=trusted, name="registry.ollama.ai") as wire:
        head = f"GET {MANIFEST} HTTP/1.1\r\nHost: registry.ollama.ai\r\nUser-Agent: curl/8\r\n\r\n"
        return (await wire.ask(head.encode())).status


async def until_checked(box: Box, *, is_ok: bool) -> None:
    async with asyncio.timeout(SECONDS):
        while box.crew.look().is_ok is not is_ok:  # noqa: ASYNC110  # It is another task's doing.
            await asyncio.sleep(0.01)


async def until_another(place: Place, pid: int | None) -> None:
    async with asyncio.timeout(SECONDS):
        while place.pid in (pid, None):  # noqa: ASYNC110  # As above.
            await asyncio.sleep(0.01)


async def test_each_worker_answers_for_the_box(tmp_path: Path) -> None:
    async with box_with(2, tmp_path / "state") as box:
        await until_checked(box, is_ok=True)
        first, second = box.crew.places
        assert len({os.getpid(), first.pid, second.pid}) == 3
        assert [await ask(box, port) for port in (first.port, second.port)] == [200, 200]
        assert await ask(box, box.ground.tls.port) == 200
    assert (first.pid, second.pid) == (None, None)


async def test_a_worker_that_dies_is_said_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crew_module, "CHECK_SECONDS", 0.05)
    async with box_with(1, tmp_path / "state") as box:
        await until_checked(box, is_ok=True)
        (place,) = box.crew.places
        pid = place.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until_checked(box, is_ok=False)
        await until_another(place, pid)
        await until_checked(box, is_ok=True)
        assert await ask(box, place.port) == 200
    assert "worker 1" in caplog.text


async def test_a_worker_that_hangs_is_ended_by_the_box_s_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr("appliance.self_pull.SELF_PULL_SECONDS", 1.0)
    async with box_with(1, tmp_path / "state") as box:
        await until_checked(box, is_ok=True)
        (place,) = box.crew.places
        pid = place.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until_another(place, pid)
        await until_checked(box, is_ok=True)


async def test_a_new_leaf_reaches_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "CHECK_SECONDS", 0.05)
    async with box_with(1, tmp_path / "state") as box:
        await until_checked(box, is_ok=True)
        (place,), leaf = box.crew.places, box.ground.leaf
        leaf._leaf = leaf._issue()
        renewed = leaf.current().certificate.serial_number
        async with asyncio.timeout(SECONDS):
            while await serial_at(place.port) != renewed:  # noqa: ASYNC110  # A process's doing.
                await asyncio.sleep(0.01)


async def serial_at(port: int) -> int:
    """The serial number of the certificate that is shown there."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    async with dial(port, trusted=trusting, name="registry.ollama.ai") as wire:
        shown = wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    from cryptography import x509

    return x509.load_der_x509_certificate(shown).serial_number
