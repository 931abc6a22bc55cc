"""The examination of a tiny box from outside: what is well, and each thing that can be broken."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from appliance import doorwatch
from appliance.certs import Authority, open_authority
from appliance.demo.ports import choose_port
from appliance.examination import Examined, Finding, examine
from tests.appliance.dns.nameserver import NameServer, zone
from tests.appliance.tinybox import BLOB_HOST, LOOPBACK, NAME, TinyBox


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    directory = tmp_path_factory.mktemp("examined") / "ca"
    return open_authority(directory, (NAME, BLOB_HOST), now=datetime.now(UTC))


@pytest.fixture
async def box(authority: Authority, tmp_path: Path) -> AsyncIterator[TinyBox]:
    box = TinyBox(authority)
    await box.start(tmp_path)
    yield box
    await box.stop()


@pytest.fixture
async def page() -> AsyncIterator[int]:
    async def show(_: web.Request) -> web.Response:
        return web.Response(text="the page")

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
async def proxy() -> AsyncIterator[int]:
    async def open_any(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(f"CONNECT {NAME}:443 ".encode())
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(open_any, LOOPBACK, 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def dns() -> AsyncIterator[NameServer]:
    async with NameServer(zone(f"{NAME} 30 A {LOOPBACK}")) as server:
        yield server


@pytest.fixture
def examined(box: TinyBox, page: int, proxy: int, dns: NameServer) -> Examined:
    return Examined((LOOPBACK,), dns.at[1], page, proxy, box.self_pull())


async def findings(examined: Examined) -> list[Finding]:
    return [each async for each in examine(examined)]


async def the_broken(examined: Examined) -> Finding:
    (broken,) = (each for each in await findings(examined) if not each.is_ok)
    assert broken.hint
    return broken


async def test_a_sound_box_is_well_in_every_line(examined: Examined) -> None:
    found = await findings(examined)
    assert [(each.what, each.is_ok, each.hint) for each in found] == [
        (what, True, "")
        for what in (
            "dns", f"tls {NAME}", f"tls {BLOB_HOST}", "page", "proxy", "pull: manifest",
            "pull: blob by redirect", "pull: from the cache", "pull: blob over https",
        )
    ]  # fmt: skip
    assert found[0].detail.endswith(f"leads {NAME} to {LOOPBACK}")


async def test_what_the_box_has_not_is_not_examined(examined: Examined) -> None:
    bare = replace(examined, dns_port=None, proxy_port=None)
    assert not {"dns", "proxy"} & {each.what for each in await findings(bare)}


async def test_dns_that_leads_elsewhere_is_told(examined: Examined) -> None:
    broken = await the_broken(replace(examined, own=("192.0.2.1",)))
    assert (broken.what, "status" in broken.hint) == ("dns", True)


async def test_dns_that_is_silent_is_told(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.examination.RING_SECONDS_MAX", 0.05)
    broken = await the_broken(replace(examined, dns_port=choose_port()))
    assert (broken.what, "does not answer" in broken.detail) == ("dns", True)
    assert "ss -lunp" in broken.hint


@pytest.mark.parametrize(("port", "what"), [("web_port", "page"), ("proxy_port", "proxy")])
async def test_a_closed_port_is_told_with_what_shows_who_has_it(
    examined: Examined, port: str, what: str
) -> None:
    closed = choose_port()
    broken = await the_broken(replace(examined, **{port: closed}))  # type: ignore[arg-type]
    assert broken.what == what
    assert f"ss -ltnp 'sport = :{closed}'" in broken.hint


async def test_a_port_that_is_silent_is_told(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorwatch, "RING_SECONDS_MAX", 0.05)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, LOOPBACK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await findings(replace(examined, web_port=port))
    (page,) = [each for each in found if each.what == "page"]  # Others may be late here, too.
    assert (page.is_ok, "nothing comes" in page.detail) == (False, True)


async def test_a_certificate_of_another_ca_is_told(
    examined: Examined, box: TinyBox, tmp_path: Path
) -> None:
    other = open_authority(tmp_path / "other", (NAME, BLOB_HOST), now=datetime.now(UTC))
    pull = box.self_pull(other.certificate_pem.decode())
    found = [each for each in await findings(replace(examined, pull=pull)) if not each.is_ok]
    assert [each.what for each in found] == [f"tls {NAME}", f"tls {BLOB_HOST}", "pull: manifest"]
    assert "is the clock right" in found[0].hint


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        ({"manifest_status": 503}, "pull: manifest"),
        ({"part_status": 503}, "pull: blob by redirect"),
        ({"statuses": ["ollama-appliance; fwd=uri-miss; stored"] * 99}, "pull: from the cache"),
        ({"sealed_status": 503}, "pull: blob over https"),
    ],
)
async def test_the_step_of_a_pull_that_fails_is_told_and_later_ones_are_not(
    examined: Examined, box: TinyBox, broken: dict[str, object], what: str
) -> None:
    vars(box).update(broken)
    assert (await the_broken(examined)).what == what
    assert (await findings(examined))[-1].what == what
