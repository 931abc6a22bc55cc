"""Without its disk: the page says why, health is red, and pulls in the clear get the origin's."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import certifi
import pytest

from appliance.listeners import open_listener
from appliance.policy.turnstile import Turnstile
from appliance.upstream.dialling import Dialling
from appliance.upstream.passing import Passage
from appliance.web.bounds import Admission, Site
from appliance.web.standin import Plight, make_standin_app
from tests.fakes.registry import NOON
from tests.fakes.wire import RawOrigin, Wire, dial

BLOB = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Type: a/b\r\nSet-Cookie: no\r\n\r\nweight"
TROUBLE = "nothing is mounted at /srv/<disk>"


async def loopback(_: str) -> tuple[str, ...]:
    return ("127.0.0.1",)


@dataclass
class Scene:
    origin: RawOrigin
    port: int

    def dial(self) -> AbstractAsyncContextManager[Wire]:
        return dial(self.port)


type OpenScene = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def open_scene() -> OpenScene:
    @asynccontextmanager
    async def opened(response: bytes = BLOB) -> AsyncIterator[Scene]:
        plight = Plight("1.0", "/srv/disk/state", TROUBLE, "mount it", "box", lambda: NOON)
        listener = open_listener(("127.0.0.1",), 0, key="web.ports")
        port = listener.sockets[0].getsockname()[1]
        admission = Admission(lambda _: True, Turnstile(lambda _: False))
        async with (
            RawOrigin(response).serve() as origin,
            Passage(
                f"http://registry.test:{origin.port}",
                Dialling(loopback, certifi.where()),
                via="box",
            ) as passage,
            Site(make_standin_app(plight, passage), listener.sockets, admission),
        ):
            yield Scene(origin, port)

    return opened


def request(method: str, target: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: box", *lines, "", ""]).encode()


async def test_health_is_red_and_names_the_disk(open_scene: OpenScene) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        answer = await wire.ask(request("GET", "/health"))
        told = json.loads(answer.body)
        assert (answer.status, told["status"]) == (503, "unhealthy")
        assert told["checks"]["disk"] == {"ok": False, "detail": f"{TROUBLE}: mount it"}
        assert told["state_dir"] == "/srv/disk/state"
        plain = await wire.ask(request("GET", "/health", "Accept: text/plain"))
        assert (plain.status, plain.body) == (503, b"FAIL\n")
        assert (await wire.ask(request("GET", "/health/live"))).status == 200
        ready = await wire.ask(request("GET", "/health/ready"))
        assert ready.status == 503
        assert ready.body.startswith(b"disk: nothing is mounted")


async def test_the_page_says_why_as_text(open_scene: OpenScene) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        answer = await wire.ask(request("GET", "/"))
        assert answer.status == 200
        assert b"nothing is mounted at /srv/&lt;disk&gt;." in answer.body
        assert answer.fields["Content-Security-Policy"].startswith("default-src 'none'")
        style = await wire.ask(request("GET", "/box.css"))
        assert (style.status, style.fields["Content-Type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize("target", ["/ca.pem", "/blobs/sha256:ab", "/api/v1/rm", "/metrics"])
async def test_what_is_on_the_disk_is_not_there(open_scene: OpenScene, target: str) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        answer = await wire.ask(request("GET", target))
        assert answer.status == 503
        assert TROUBLE in json.loads(answer.body)["errors"][0]["message"]
    assert scene.origin.requests == []


async def test_an_error_is_never_taken_for_the_bytes_of_a_part(open_scene: OpenScene) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        answer = await wire.ask(request("GET", "/blobs/sha256:ab", "Range: bytes=0-9"))
        assert (answer.status, answer.body) == (503, b"")


async def test_a_pull_in_the_clear_gets_what_the_origin_says(open_scene: OpenScene) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        asked = request("GET", "/v2/a/b?c=%2f", "Range: bytes=0-5", "User-Agent: ollama/0.1")
        answer = await wire.ask(asked)
        assert (answer.status, answer.body) == (200, b"weight")
        assert answer.fields["Content-Type"] == "a/b"
        assert "Set-Cookie" not in answer.fields
    assert scene.origin.requests[0].head.startswith(b"GET /v2/a/b?c=%2f HTTP/1.1")
    assert scene.origin.requests[0].values("Range") == ["bytes=0-5"]
    assert scene.origin.requests[0].values("User-Agent") == ["ollama/0.1"]


async def test_a_head_says_how_long_a_blob_is(open_scene: OpenScene) -> None:
    async with open_scene(response=BLOB.removesuffix(b"weight")) as scene, scene.dial() as wire:
        answer = await wire.ask(request("HEAD", "/v2/a/b"))
        assert (answer.status, answer.fields["Content-Length"]) == (200, "6")


async def test_no_credentials_are_handed_on_in_the_clear(open_scene: OpenScene) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        secret = ("Authorization: Bearer s", "Cookie: s", "X-Forwarded-For: s")
        await wire.ask(request("GET", "/v2/", *secret))
    (asked,) = scene.origin.requests
    assert not any(asked.values(name) for name in ("Authorization", "Cookie", "X-Forwarded-For"))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        pytest.param(request("POST", "/v2/a/blobs/uploads/", "Content-Length: 0"), 405, id="push"),
        pytest.param(request("GET", "/v2/", "Via: 1.1 box"), 508, id="its own"),
        pytest.param(request("GET", "/v2/", "Host: other"), 400, id="two hosts"),
        pytest.param(request("GET", "http://elsewhere/v2/"), 400, id="absolute form"),
    ],
)
async def test_what_is_not_handed_on(open_scene: OpenScene, asked: bytes, status: int) -> None:
    async with open_scene() as scene, scene.dial() as wire:
        assert (await wire.ask(asked)).status == status
    assert scene.origin.requests == []


async def test_an_origin_that_is_away_is_said(open_scene: OpenScene) -> None:
    async with open_scene(response=b"") as scene, scene.dial() as wire:

        async def hang_up(*_: object) -> None: ...

        scene.origin.interrupt = hang_up
        answer = await wire.ask(request("GET", "/v2/"))
        assert answer.status == 503
        assert "no disk" in json.loads(answer.body)["errors"][0]["message"]


async def test_a_body_that_the_origin_cuts_is_cut_here(open_scene: OpenScene) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\nweight"
    async with open_scene(response=cut) as scene, scene.dial() as wire:

        async def send_part(_: object, writer: object) -> None:
            writer.write(cut)  # type: ignore[attr-defined]
            await writer.drain()  # type: ignore[attr-defined]

        scene.origin.interrupt = send_part
        wire.send(request("GET", "/v2/a/b"))
        answer = await wire.answer()
    assert answer is not None
    assert (answer.body, answer.is_cut) == (b"weight", True)
