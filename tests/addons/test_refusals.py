"""Whatever is refused, is refused in the registry's JSON."""

import json

import pytest

from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.wire import Answer, RawOrigin


def code_of(answer: Answer) -> str:
    assert answer.fields["Content-Type"] == "application/json"
    assert "Server" not in answer.fields
    code: str = json.loads(answer.body)["errors"][0]["code"]
    return code


@pytest.mark.parametrize(
    "head",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: registry.ollama.ai\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: registry.ollama.ai\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xyz\r\n\r\n",
        b"GET / HTTP/1.1\r\nno field\r\n\r\n",
    ],
)
async def test_a_head_that_cannot_be_read(door: Door, head: bytes) -> None:
    async with door.dial() as wire:
        answer = await wire.ask(head)
        assert (answer.status, code_of(answer)) == (400, "UNSUPPORTED")
        assert await wire.rest() == b""


async def test_a_refusal_behind_an_answer_keeps_its_own_words(door: Door) -> None:
    async with door.dial() as wire:
        wire.send(request("GET", "/v2/") + b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second = await wire.answers()
    assert first.status == 200
    assert b"control character" in second.body


@pytest.mark.parametrize("lines", [(), ("Expect: 100-continue",)])
async def test_an_origin_that_is_down(open_door: OpenDoor, lines: tuple[str, ...]) -> None:
    async with open_door(f"http://{NAME}:1") as door, door.dial() as wire:
        wire.send(request("PATCH", "/v2/a/b/blobs/uploads/1", "Content-Length: 9", *lines))
        if lines:
            await wire.reader.readuntil(b"\r\n\r\n")
        answer = await wire.ask(b"")
        assert (answer.status, code_of(answer)) == (502, "UNKNOWN")


async def test_a_head_s_refusal_has_no_body(open_door: OpenDoor) -> None:
    async with open_door(f"http://{NAME}:1") as door, door.dial() as wire:
        assert (await wire.ask(request("HEAD", "/v2/_catalog"))).status == 502
        assert await wire.rest() == b""


async def test_an_origin_that_speaks_no_http(open_door: OpenDoor) -> None:
    async with (
        RawOrigin(b"what?\r\n\r\n").serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", "/v2/_catalog"))
        assert (answer.status, code_of(answer)) == (502, "UNKNOWN")
