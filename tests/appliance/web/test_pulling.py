"""`POST /api/pull`: lines that are true, and nobody's page may ask for them."""

import asyncio
import itertools
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from appliance.cache.fill import Fill
from appliance.protocol.digest import digest_of
from appliance.web.pulling import PULLS_MAX
from tests.appliance.web.conftest import Door, request
from tests.fakes.registry import CHUNK_BYTES
from tests.fakes.wire import PATIENCE_SECONDS

BLOB = bytes(range(256)) * (CHUNK_BYTES // 256) * 4
SMALL = b"a template"
WISH = b'{"model": "tiny"}'


def lines(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(each) for each in body.splitlines()]


async def find_fill(door: Door) -> Fill:
    """The fill of BLOB, once it is under way."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in itertools.count():
            fill = door.shop.cache.find_fill(digest_of(BLOB))
            if fill is not None:
                return fill
            await asyncio.sleep(0)
    raise AssertionError("counting has no end")


async def pull(door: Door, *fields: str, body: bytes = WISH) -> list[dict[str, Any]]:
    answer = await door.post("/api/pull", body, *fields)
    assert answer.fields["Content-Type"] == "application/x-ndjson"
    return lines(answer.body)


async def test_a_pull_says_each_step_as_ollama_does(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB, SMALL)
    told = await pull(door)
    assert told[0] == {"status": "pulling manifest"}
    assert [each["status"] for each in told[-3:]] == [
        *("verifying sha256 digest", "writing manifest", "success"),
    ]
    for blob in (BLOB, SMALL):
        digest = digest_of(blob)
        about = [each for each in told if each.get("digest") == str(digest)]
        assert {each["status"] for each in about} == {f"pulling {digest.encoded[:12]}"}
        assert {each["total"] for each in about} == {len(blob)}
        completed = [each.get("completed", 0) for each in about]
        assert completed == sorted(completed)
        assert (completed[0], completed[-1]) == (0, len(blob))
        assert door.shop.cache.is_held(digest)


async def test_what_is_held_already_is_said_at_once(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    first = await pull(door)
    door.shop.source.is_away = True
    told = await pull(door)
    assert told[-1] == first[-1] == {"status": "success"}
    assert told[2]["completed"] == len(BLOB)


async def test_success_is_not_said_before_the_last_byte(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    door.shop.source.gate.clear()
    async with door.dial() as wire:
        wire.send(request("/api/pull", method="POST", body=WISH))
        head = await wire.reader.readuntil(b"pulling " + digest_of(BLOB).encoded[:12].encode())
        assert b"success" not in head
        door.shop.source.gate.set()
        rest = await wire.reader.readuntil(b"success")
    assert str(len(BLOB)).encode() in rest


async def test_without_a_stream_the_last_word_alone_is_said(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    answer = await door.post("/api/pull", b'{"name": "tiny", "stream": false}')
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "success"})


async def test_a_model_that_is_not_there_is_said_in_ollama_s_words(door: Door) -> None:
    error = {"error": "pull model manifest: file does not exist"}
    assert (await pull(door))[-1] == error
    answer = await door.post("/api/pull", b'{"model": "tiny", "stream": false}')
    assert (answer.status, json.loads(answer.body)) == (404, error)


@pytest.mark.parametrize("status", [401, 503])
async def test_a_registry_that_refuses_or_is_away_is_said(door: Door, status: int) -> None:
    door.shop.source.is_private, door.shop.source.is_away = status == 401, status == 503
    answer = await door.post("/api/pull", b'{"model": "tiny", "stream": false}')
    assert answer.status == {401: 502, 503: 503}[status]
    assert json.loads(answer.body)["error"].startswith("pull model manifest: ")


async def test_wrong_bytes_end_in_an_error_and_never_in_success(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    door.shop.source.blobs[digest_of(BLOB)] = bytes(len(BLOB))
    told = await pull(door)
    assert "is not kept" in told[-1]["error"]
    assert {"status": "success"} not in told


async def test_a_client_that_leaves_leaves_the_download_running(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    door.shop.source.gate.clear()
    async with door.dial() as wire:
        wire.send(request("/api/pull", method="POST", body=WISH))
        await wire.reader.readuntil(b"pulling " + digest_of(BLOB).encoded[:12].encode())
        fill = await find_fill(door)
    door.shop.source.gate.set()
    await fill.over.wait()
    assert door.shop.cache.is_held(digest_of(BLOB))


async def test_there_are_only_so_many_at_once(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    door.shop.source.gate.clear()
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(door.dial()) for _ in range(PULLS_MAX)]
        for wire in wires:
            wire.send(request("/api/pull", method="POST", body=WISH))
            await wire.reader.readuntil(b"pulling manifest")
        assert (await door.post("/api/pull", WISH)).status == 429
        door.shop.source.gate.set()
        for wire in wires:
            await wire.reader.readuntil(b"success")
    assert (await pull(door))[-1] == {"status": "success"}


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        pytest.param("10.0.0.5", ("Origin: http://evil.example",), id="another site's page"),
        pytest.param("10.0.0.5", ("Origin: null",), id="a sandboxed page"),
        pytest.param("evil.example", ("Origin: http://evil.example",), id="a name pointed here"),
        pytest.param("10.0.0.5", ("Sec-Fetch-Site: cross-site",), id="a browser with no origin"),
        pytest.param(
            "10.0.0.5",
            ("Origin: http://evil.example", "Authorization: Bearer x"),
            id="beside a token that is none",
        ),
    ],
)
@pytest.mark.parametrize("target", ["/api/pull", "/api/show", "/api/generate"])
async def test_no_foreign_page_may_ask(
    door: Door, target: str, host: str, lines: tuple[str, ...]
) -> None:
    door.shop.source.publish("tiny", BLOB)
    answer = await door.post(target, WISH, *lines, host=host)
    assert answer.status == 403
    assert await door.document("/api/models") == []


@pytest.mark.parametrize("field", ["Origin: http://10.0.0.5", "Authorization: signed-by-habit"])
async def test_the_box_s_own_page_and_a_client_that_signs_may(door: Door, field: str) -> None:
    door.shop.source.publish("tiny", BLOB)
    answer = await door.post("/api/pull", WISH, field, host="10.0.0.5")
    assert lines(answer.body)[-1] == {"status": "success"}


async def test_an_old_client_gets_its_lines_without_chunks(door: Door) -> None:
    door.shop.source.publish("tiny", BLOB)
    async with door.dial() as wire:
        head = f"POST /api/pull HTTP/1.0\r\nHost: box\r\nContent-Length: {len(WISH)}\r\n\r\n"
        answer = await wire.ask(head.encode() + WISH)
    assert lines(answer.body)[-1] == {"status": "success"}
