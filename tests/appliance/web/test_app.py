"""Who may ask, and what a handler that fails looks like from outside."""

import json

import pytest

from appliance.registry.registry import Registry
from appliance.registry.requests import Reply, Request
from tests.appliance.web.conftest import Door, OpenDoor

ROUTES = (
    *("/", "/box.css", "/health", "/api/info", "/api/models", "/cache/stats", "/ca.pem"),
    *("/ca.crt", "/ca.der", "/ca.mobileconfig", "/install.sh", "/install.ps1"),
    *("/api/sessions", "/api/clients", "/api/events", "/box.js", "/icon.svg", "/check"),
    *("/v2/", "/v2/library/tiny/manifests/latest", "/blobs/x", "/nowhere"),
)


@pytest.mark.parametrize("target", ROUTES)
async def test_an_address_outside_is_denied_everything(open_door: OpenDoor, target: str) -> None:
    async with open_door(is_allowed=lambda _: False) as door:
        answer = await door.ask(target)
    assert answer.status == 403
    assert json.loads(answer.body)["errors"][0]["code"] == "DENIED"


async def test_the_rule_is_asked_about_the_socket_s_address(open_door: OpenDoor) -> None:
    asked: list[str] = []

    def is_allowed(address: str) -> bool:
        asked.append(address)
        return True

    async with open_door(is_allowed=is_allowed) as door:
        assert (await door.ask("/", "X-Forwarded-For: 8.8.8.8")).status == 200
    assert asked == ["127.0.0.1"]


@pytest.mark.parametrize("target", ["/nowhere", "/api/nothing", "/v1/", "/blobs"])
async def test_what_is_not_there_is_404(door: Door, target: str) -> None:
    assert (await door.ask(target)).status == 404


@pytest.mark.parametrize("target", ROUTES[:9])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_box_s_own_routes_are_read_only(door: Door, method: str, target: str) -> None:
    assert (await door.ask(target, method=method)).status == 405


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1/", "http://google.com/", "https://box.lan/api/info", "*"]
)
async def test_whoever_takes_it_for_a_proxy_is_refused(door: Door, target: str) -> None:
    assert (await door.ask(target)).status == 400


async def test_a_handler_that_fails_says_so_without_its_insides(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Registry, asked: Request) -> Reply:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Registry, "answer", broken)
    answer = await door.ask("/v2/")
    assert answer.status == 503
    assert json.loads(answer.body)["errors"][0]["code"] == "UNAVAILABLE"
    assert b"disk" not in answer.body
    assert "the disk is gone" in caplog.text
