"""Pulls by https: what the registry answers on kept-alive connections, and what it passes."""

import pytest

from appliance.protocol.digest import digest_of
from appliance.registry.registry import Registry
from appliance.registry.requests import Reply
from appliance.registry.requests import Request as Asked
from tests.addons.conftest import NAME, Door, OpenDoor, request
from tests.fakes.wire import RawOrigin

OLD = "User-Agent: ollama/0.12.6 (amd64 linux) Go/go1.24"
NEWEST = "User-Agent: ollama/9.0.0 (amd64 linux) Go/go1.24"
LAYER = bytes(range(256)) * 300
MANIFEST = "/v2/library/tiny/manifests/latest"
BLOB = f"/v2/library/tiny/blobs/{digest_of(LAYER)}"


async def test_a_manifest_is_answered_verbatim(door: Door) -> None:
    digest = door.shop.source.publish("tiny", LAYER)
    async with door.dial() as wire:
        answer = await wire.ask(request("GET", MANIFEST, OLD))
    assert (answer.status, digest_of(answer.body)) == (200, digest)
    assert answer.fields["Docker-Content-Digest"] == str(digest)
    assert answer.fields["Content-Length"] == str(len(answer.body))


async def test_a_head_has_the_length_and_no_body(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    async with door.dial() as wire:
        whole = await wire.ask(request("GET", MANIFEST, OLD))
        head = await wire.ask(request("HEAD", MANIFEST, OLD))
        blob = await wire.ask(request("HEAD", BLOB, OLD))
        assert (await wire.ask(request("GET", "/v2/"))).status == 200  # Nothing came between.
    assert head.fields["Content-Length"] == str(len(whole.body))
    assert (blob.status, blob.fields["Content-Length"]) == (200, str(len(LAYER)))


async def test_a_blob_is_a_redirect_to_the_plain_door(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST, OLD))
        answer = await wire.ask(request("GET", BLOB, OLD))
    assert (answer.status, answer.body) == (307, b"")
    assert answer.fields["Location"].startswith("http://127.0.0.1:8080/blobs/sha256:")


async def test_a_client_that_accepts_no_url_of_ours_is_sent_to_the_origin(
    open_door: OpenDoor,
) -> None:
    response = b"HTTP/1.1 307 OK\r\nLocation: https://cdn/x\r\nContent-Length: 0\r\n\r\n"
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        door.shop.source.publish("tiny", LAYER)
        await wire.ask(request("GET", MANIFEST, NEWEST))
        answer = await wire.ask(request("GET", BLOB, NEWEST))
    assert (answer.status, answer.fields["Location"]) == (307, "https://cdn/x")


async def test_one_connection_carries_what_is_answered_and_what_is_passed(
    open_door: OpenDoor,
) -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntoken"
    async with (
        RawOrigin(response).serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        digest = door.shop.source.publish("tiny", LAYER)
        for _ in range(2):
            answered = await wire.ask(request("GET", MANIFEST, OLD))
            passed = await wire.ask(request("POST", "/token", "Content-Length: 3", body=b"abc"))
            assert (digest_of(answered.body), passed.body) == (digest, b"token")
        assert (await wire.ask(request("GET", MANIFEST, OLD))).status == 200
    assert [each.body for each in origin.requests] == [b"abc", b"abc"]


async def test_what_carries_authorization_is_the_origin_s_to_answer(open_door: OpenDoor) -> None:
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        door.shop.source.publish("tiny", LAYER)
        await wire.ask(request("GET", MANIFEST, OLD, "Authorization: Bearer abc"))
        assert door.shop.store.models() == []
    assert origin.requests[0].lines[0] == f"GET {MANIFEST} HTTP/1.1".encode()


async def test_a_client_that_hangs_up_after_the_head_leaves_nothing_behind(
    door: Door, no_crash: pytest.LogCaptureFixture
) -> None:
    door.shop.source.publish("tiny", LAYER)
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST, OLD))
    for _ in range(5):
        async with door.dial() as wire:
            wire.send(request("GET", BLOB, OLD))
            assert (await wire.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 307")
    await door.settle()


async def test_an_origin_that_is_away_is_said_in_the_registry_s_words(door: Door) -> None:
    door.shop.source.is_away = True
    async with door.dial() as wire:
        answer = await wire.ask(request("GET", MANIFEST, OLD))
    assert answer.status == 503
    assert b'"UNAVAILABLE"' in answer.body


@pytest.mark.parametrize("host", ["google.com", "127.0.0.1", "a.registry.ollama.ai"])
async def test_a_host_other_than_the_sni_is_misdirected(door: Door, host: str) -> None:
    async with door.dial() as wire:
        assert (await wire.ask(request("GET", "/v2/", host=host))).status == 421
        assert (await wire.ask(request("GET", "/v2/"))).status == 200


async def test_a_refused_request_with_a_body_is_cut_off_instead_of_read(door: Door) -> None:
    async with door.dial() as wire:
        wire.send(request("PUT", "/v2/", "Content-Length: 1000000", host="google.com"))
        assert await wire.answer() is None
    await door.settle()


@pytest.mark.parametrize("field", [b"Accept", b"User-Agent", b"Range"])
async def test_a_field_that_is_no_text_spoils_nothing(
    door: Door, no_crash: pytest.LogCaptureFixture, field: bytes
) -> None:
    door.shop.source.publish("tiny", LAYER)
    head = request("GET", MANIFEST).removesuffix(b"\r\n") + field + b": \xff\xfe\r\n\r\n"
    async with door.dial() as wire:
        assert (await wire.ask(head)).status == 200


async def test_a_registry_that_fails_is_an_answer_and_never_a_way_out(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: Registry, asked: Asked) -> Reply:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Registry, "answer", broken)
    async with (
        RawOrigin().serve() as origin,
        open_door(f"http://{NAME}:{origin.port}") as door,
        door.dial() as wire,
    ):
        assert (await wire.ask(request("GET", "/token"))).status == 503
        wire.send(request("PUT", "/v2/", "Content-Length: 9"))
        assert await wire.answer() is None
        assert origin.connection_count == 0
    assert "the disk is gone" in caplog.text
