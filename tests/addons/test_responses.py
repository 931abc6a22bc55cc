"""What an origin may say before, after and instead of an answer."""

import asyncio

import pytest

from appliance.protocol.heads import HEAD_SIZE_BYTES_MAX
from tests.addons.conftest import NAME, OpenDoor, request
from tests.fakes.wire import RawOrigin

COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"
TOKEN = "/token?a=b"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"


@pytest.mark.parametrize("interim", [CONTINUE, HINTS, CONTINUE + HINTS + HINTS])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_an_interim_response_is_not_the_answer(
    open_door: OpenDoor, interim: bytes, method: str
) -> None:
    async with (
        RawOrigin(interim + COUNTED).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            answer = await wire.ask(request(method, TOKEN, "Content-Length: 1", body=b"x"))
            assert (answer.status, answer.body) == (200, b"abcde")
        assert origin.connection_count == 1


async def test_trailers_are_dropped_and_the_body_is_whole(
    open_door: OpenDoor, no_crash: pytest.LogCaptureFixture
) -> None:
    head = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with (
        RawOrigin(head + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n").serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        for _ in range(2):
            answer = await wire.ask(request("GET", TOKEN))
            assert (answer.status, answer.body) == (200, b"abc")
            assert "Trailer" not in answer.fields
        assert origin.connection_count == 1


async def test_a_head_without_end_is_502(open_door: OpenDoor) -> None:
    response = b"HTTP/1.1 200 OK\r\nX-Padding: " + b"a" * (2 * HEAD_SIZE_BYTES_MAX)
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", TOKEN))
        assert answer.status == 502


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 1", b"HTTP/1.1 100 Continue\r\n", b"nonsense\r\n\r\n", CONTINUE]
)
async def test_half_an_answer_is_none(open_door: OpenDoor, response: bytes) -> None:
    async def ending(reader: object, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()

    async with (
        RawOrigin(interrupt=ending).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        answer = await wire.ask(request("GET", TOKEN))
        assert answer.status == 502
