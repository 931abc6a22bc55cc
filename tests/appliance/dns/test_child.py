"""The DNS process, told line by line as its parent would."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

import pytest

from appliance.dns import child
from appliance.dns.child import choose_listening
from appliance.dns.settings import Settings, format_settings
from appliance.policy.addresses import Interface
from tests.appliance.dns.questions import REGISTRY, by_udp, gives, packet, records, until_true

ROOT = Path(__file__).parents[3]
HEAVY = {"aiohttp", "mitmproxy", "cryptography", "lmdb", "uvloop", "multidict", "rich", "aiofiles"}
LAN = (
    Interface("lo", (ip_interface("127.0.0.1/8"), ip_interface("::1/128"))),
    Interface("eth0", (ip_interface("192.168.1.5/24"), ip_interface("fe80::5%eth0/64"))),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        str(tmp_path), 0, (REGISTRY,), "ollama-blobs.home.arpa", listen=("127.0.0.1",),
        box_address="192.0.2.7", truth=("104.21.75.227",),
    )  # fmt: skip


@asynccontextmanager
async def started(first_line: bytes) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance.dns", stdin=pipe, stdout=pipe, cwd=ROOT
    )
    tell(process, first_line)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def tell(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)


async def said(process: asyncio.subprocess.Process) -> dict[str, object]:
    assert process.stdout is not None
    document: dict[str, object] = json.loads(await process.stdout.readline())
    return document


def where(report: dict[str, object]) -> tuple[str, int]:
    listening = report["listening"]
    assert isinstance(listening, list)
    ((address, port),) = listening
    return address, port


async def test_it_says_where_it_listens_and_stops_when_told(settings: Settings) -> None:
    async with started(format_settings(settings)) as process:
        at = where(await said(process))
        assert records(await by_udp(at, packet(REGISTRY))) == ["104.21.75.227"]
        tell(process, b'{"stop": true}\n')
        assert await process.wait() == 0


async def test_it_ends_in_order_when_asked_by_signal(settings: Settings) -> None:
    async with started(format_settings(settings)) as process:
        await said(process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def test_lines_that_say_nothing_are_silence(settings: Settings) -> None:
    async with started(format_settings(settings)) as process:
        at = where(await said(process))
        tell(process, b'what?\n{"beat": 1}\n[]\n{"beat": true, "is_healthy": true}\n')
        await until_true(lambda: gives(["192.0.2.7"], at, REGISTRY))


async def test_it_outlives_its_parent_s_end_of_the_pipes(settings: Settings) -> None:
    async with started(format_settings(settings)) as process:
        at = where(await said(process))
        assert process.stdin is not None
        process.stdin.close()
        assert records(await by_udp(at, packet(REGISTRY))) == ["104.21.75.227"]
        assert process.returncode is None


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"garbage\n"])
async def test_settings_that_are_none_end_it(line: bytes) -> None:
    async with started(line) as process:
        assert set(await said(process)) == {"error", "hint"}
        assert await process.wait() == 1


async def test_nothing_bound_ends_it(settings: Settings) -> None:
    async with started(format_settings(replace(settings, listen=("192.0.2.99",)))) as process:
        report = await said(process)
        assert "192.0.2.99" in str(report["error"])
        assert await process.wait() == 1


async def test_a_pipe_that_closes_before_the_settings_ends_it() -> None:
    async with started(b"") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert "error" in await said(process)
        assert await process.wait() == 1


async def test_it_follows_the_machine_s_addresses_and_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    machine = [Interface("eth0", (ip_interface("127.0.0.1/8"),))]
    monkeypatch.setattr(child, "read_interfaces", lambda: machine)
    monkeypatch.setattr(child, "RESCAN_SECONDS", 0.001)
    said: list[list[str]] = []

    async def has_said(*addresses: str) -> bool:
        reports = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        said.extend([address for address, _ in each["listening"]] for each in reports)
        return said[-1:] == [list(addresses)]

    words = asyncio.StreamReader()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(child.Child(replace(settings, listen=())).run(words))
        await until_true(lambda: has_said("127.0.0.1"))
        machine[:] = [Interface("eth0", (ip_interface("127.0.0.2/8"),))]
        await until_true(lambda: has_said("127.0.0.2"))
        words.feed_data(b'{"stop": true}\n')
        assert await running is None
    assert said == [["127.0.0.1"], ["127.0.0.2"]]


async def test_it_imports_nothing_heavy() -> None:
    code = "import appliance.dns.child, sys; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    imported, _ = await process.communicate()
    assert not {each.partition(".")[0] for each in imported.decode().split()} & HEAVY


@pytest.mark.parametrize(
    ("listen", "chosen"),
    [
        ([], ("127.0.0.1", "::1", "192.168.1.5", "fe80::5%eth0")),
        (["0.0.0.0"], ("127.0.0.1", "192.168.1.5")),
        (["::"], ("::1", "fe80::5%eth0")),
        (["::", "192.168.1.5"], ("::1", "fe80::5%eth0", "192.168.1.5")),
        (["192.168.1.5", "0.0.0.0"], ("192.168.1.5", "127.0.0.1")),
        (["10.0.0.1"], ("10.0.0.1",)),
    ],
)
def test_a_wildcard_stands_for_the_machine_s_own_addresses(
    listen: list[str], chosen: tuple[str, ...]
) -> None:
    assert choose_listening(listen, LAN) == chosen
