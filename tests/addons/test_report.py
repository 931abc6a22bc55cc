"""The access lines of the TLS door."""

import logging

import pytest

from addons import guard
from appliance.upstream.builtin import BUILTIN, BuiltinSource
from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.wire import RawOrigin


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(each.levelno, each.getMessage()) for each in caplog.records if each.name == "https"]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="https")


async def test_a_request_is_one_line_with_its_status(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async with door.dial() as wire:
        await wire.ask(request("GET", "/v2/"))
    assert lines(caplog) == [(logging.INFO, "127.0.0.1 GET /v2/ 200 -")]


async def test_a_manifest_s_line_says_how_it_came(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.shop.source.publish("tiny", b"abc")
    async with door.dial() as wire:
        for _ in range(2):
            await wire.ask(request("GET", "/v2/library/tiny/manifests/latest"))
    assert [line.split("; ")[1] for _, line in lines(caplog)] == ["fwd=uri-miss", "hit"]


async def test_queries_stay_out_of_the_log(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture
) -> None:
    async with RawOrigin().serve() as origin:
        async with open_door(f"http://{NAME}:{origin.port}") as door, door.dial() as wire:
            await wire.ask(request("GET", "/token?nonce=secret"))
        async with open_door("http://registry.ollama.ai:1") as door, door.dial() as wire:
            await wire.ask(request("GET", "/token?nonce=secret"))
    assert [level for level, _ in lines(caplog)] == [logging.INFO, logging.DEBUG]
    assert "secret" not in str(lines(caplog))


async def test_the_box_s_own_pulls_are_no_news(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    async with door.dial() as wire:
        await wire.ask(request("GET", f"/v2/{BUILTIN.repository}/manifests/latest"))
        await wire.ask(request("HEAD", f"/blobs/{BuiltinSource().digests[0]}?expires=1"))
    assert [level for level, _ in lines(caplog)] == [logging.DEBUG, logging.DEBUG]


async def test_without_inline_bodies_it_is_one_line_all_the_same(
    open_door: OpenDoor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "find_trouble", lambda: "a mitmproxy that changed")
    async with open_door("http://registry.ollama.ai:1") as door, door.dial() as wire:
        answer = await wire.ask(request("GET", "/v2/"))
    assert answer.status == 200
    assert lines(caplog) == [(logging.INFO, "127.0.0.1 GET /v2/ 200 -")]
