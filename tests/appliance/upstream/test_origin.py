"""Manifests and sizes over a real wire: what goes up, what comes down, and what it comes to."""

import json

import pytest
from aiohttp import web

from appliance.demo.faults import BodyFault, Break
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.outside import Outside
from appliance.demo.site import Answering
from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_SIZE_BYTES_MAX
from appliance.protocol.reference import Reference
from appliance.upstream import origin as origin_module
from appliance.upstream.origin import RETRY_AFTER_SECONDS_MAX, Origin
from appliance.upstream.source import (
    FetchedManifest,
    ManifestRequest,
    OriginMisbehavedError,
    OriginUnreachableError,
    Refusal,
)
from tests.appliance.upstream.origins import (
    CLIENT,
    LATEST,
    SECONDS,
    TINY,
    USER_AGENT,
    VIA,
    fetch,
    fixed,
    hang,
    in_chunks,
    read,
    read_until_it_breaks,
)


async def test_a_manifest_comes_byte_for_byte_with_its_type(
    source: Origin, model: DemoModel
) -> None:
    assert await fetch(source) == FetchedManifest(model.manifest, "text/plain; charset=utf-8")
    by_digest = Reference(TINY, model.digest)
    found = await source.fetch_manifest(by_digest, CLIENT, timeout_seconds=SECONDS)
    assert isinstance(found, FetchedManifest)
    assert found.content == model.manifest


async def test_the_client_s_own_fields_go_up_and_nothing_else_of_it(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    await fetch(source)
    await source.fetch_manifest_digest(LATEST, CLIENT, timeout_seconds=SECONDS)
    await source.fetch_blob_size(TINY, blob.digest)
    await read(source, blob)
    by_client = {"accept": CLIENT.accept, "user-agent": CLIENT.user_agent}
    by_us = {"accept": "*/*", "user-agent": USER_AGENT}
    ranged = {"user-agent": USER_AGENT, "range": f"bytes=0-{blob.size_bytes - 1}"}
    always = {"via": f"1.1 {VIA}", "accept-encoding": "identity"}
    for asked, own in zip(
        outside.ledger.asked, [by_client, by_client, by_us, ranged, ranged], strict=True
    ):
        said = {name.lower(): value for name, value in asked.fields}
        assert said.pop("host") == f"{asked.site}:{site_port(outside, asked.site)}"
        assert said == own | always


def site_port(outside: Outside, name: str) -> int:
    return {each.name: each.port for each in (outside.registry, outside.cdn)}[name]


async def test_what_a_client_left_out_is_left_out(source: Origin, outside: Outside) -> None:
    found = await fetch(source, ManifestRequest(accept="", user_agent=""))
    assert isinstance(found, FetchedManifest), "an empty Accept would accept nothing"
    assert outside.ledger.asked[0].field("Accept") is None
    assert outside.ledger.asked[0].field("User-Agent") is None


@pytest.mark.parametrize("odd", ["caf\xe9", "\udcff", "a\r\nX-Evil: 1", "a\0b", "\u4e2d"])
async def test_odd_characters_of_a_client_do_no_harm(
    source: Origin, outside: Outside, odd: str
) -> None:
    found = await fetch(source, ManifestRequest(accept="*/*", user_agent=odd))
    assert isinstance(found, FetchedManifest)
    assert outside.ledger.asked[0].field("X-Evil") is None
    assert (outside.ledger.asked[0].field("User-Agent") or "").isascii()


async def test_cookies_are_not_kept(source: Origin, outside: Outside) -> None:
    outside.registry.answer = fixed(200, b"{}", Set_Cookie="a=b; Path=/")
    await fetch(source)
    await fetch(source)
    assert [each.field("Cookie") for each in outside.ledger.asked] == [None, None]


async def test_a_portal_s_page_is_bytes_like_any_other(source: Origin, outside: Outside) -> None:
    """It is the cache that says what is a manifest."""
    outside.faults.is_portal = True
    found = await fetch(source)
    assert isinstance(found, FetchedManifest)
    assert (found.content[:14], found.content_type[:9]) == (b"<!DOCTYPE html", "text/html")


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (404, {"Content-Type": "application/json"}),
        (412, {"Content-Type": "text/plain"}),
        (401, {"WWW-Authenticate": 'Bearer realm="https://registry.ollama.ai/token"'}),
        (429, {"Retry-After": "7", "Content-Type": "text/plain"}),
        (400, {"Docker-Distribution-API-Version": "registry/2.0"}),
        (451, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}),
    ],
)
async def test_a_refusal_is_kept_as_it_came(
    source: Origin, outside: Outside, status: int, fields: dict[str, str]
) -> None:
    body = json.dumps({"errors": [{"code": "UNKNOWN"}]}).encode()
    others: dict[str, str] = {"Set-Cookie": "a=b", "X-Request-Id": "1"}
    outside.registry.answer = fixed(status, body, **(fields | others))
    found = await fetch(source)
    assert isinstance(found, Refusal)
    assert (found.status, found.content) == (status, body)
    expected = {"Content-Type": "application/octet-stream"} | fields
    assert found.fields == expected


async def test_an_old_client_s_refusal_is_the_registry_s_own(
    source: Origin, outside: Outside, model: DemoModel
) -> None:
    outside.publish(model, version_min=(0, 34, 0))
    found = await fetch(source)
    assert isinstance(found, Refusal)
    assert (found.status, b"newer version of Ollama" in found.content) == (412, True)


@pytest.mark.parametrize("status", [201, 202, 204, 206, 302, 304, 307])
async def test_an_answer_that_is_neither_yes_nor_no_is_misbehaviour(
    source: Origin, outside: Outside, status: int
) -> None:
    outside.registry.answer = fixed(status)
    with pytest.raises(OriginMisbehavedError, match=str(status)):
        await fetch(source)


@pytest.mark.parametrize("body", [b"x" * (MANIFEST_SIZE_BYTES_MAX + 1)])
@pytest.mark.parametrize("status", [200, 404])
async def test_an_endless_answer_is_not_read(
    source: Origin, outside: Outside, status: int, body: bytes
) -> None:
    outside.registry.answer = in_chunks(status, body)
    with pytest.raises(OriginMisbehavedError, match=str(MANIFEST_SIZE_BYTES_MAX)):
        await fetch(source)


async def test_the_largest_manifest_is_read(source: Origin, outside: Outside) -> None:
    outside.registry.answer = in_chunks(200, b"x" * MANIFEST_SIZE_BYTES_MAX)
    found = await fetch(source)
    assert isinstance(found, FetchedManifest)
    assert len(found.content) == MANIFEST_SIZE_BYTES_MAX


async def test_an_encoded_manifest_is_misbehaviour(source: Origin, outside: Outside) -> None:
    outside.registry.answer = fixed(200, b"\x1f\x8b", Content_Encoding="gzip")
    with pytest.raises(OriginMisbehavedError, match="encodes"):
        await fetch(source)


@pytest.mark.parametrize("status", [500, 502, 503, 599])
async def test_an_origin_in_trouble_is_unreachable(
    source: Origin, outside: Outside, status: int
) -> None:
    outside.registry.answer = fixed(status, b"sorry")
    with pytest.raises(OriginUnreachableError, match=str(status)) as caught:
        await fetch(source)
    assert not isinstance(caught.value, OriginMisbehavedError)
    with pytest.raises(OriginUnreachableError):
        await source.fetch_manifest_digest(LATEST, CLIENT, timeout_seconds=SECONDS)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("99999999", RETRY_AFTER_SECONDS_MAX),
        ("9" * 5000, RETRY_AFTER_SECONDS_MAX),
        ("-7", None),
        ("7.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("\u0667", None),
        ("", None),
    ],
)
async def test_an_origin_may_say_when_to_come_back(
    source: Origin, outside: Outside, field: str, seconds: float | None
) -> None:
    outside.registry.answer = fixed(503, Retry_After=field)
    with pytest.raises(OriginUnreachableError) as caught:
        await fetch(source)
    assert caught.value.retry_after_seconds == seconds


async def hang_in_the_body(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    return await hang(request)


@pytest.mark.parametrize("answer", [hang, hang_in_the_body])
async def test_a_manifest_is_waited_for_only_so_long(
    source: Origin, outside: Outside, answer: Answering
) -> None:
    outside.registry.answer = answer
    with pytest.raises(OriginUnreachableError, match="in time"):
        await source.fetch_manifest(LATEST, CLIENT, timeout_seconds=0.05)


async def test_the_same_time_is_all_that_its_redirects_have(
    source: Origin, outside: Outside
) -> None:
    outside.registry.answer = fixed(307, Location=f"{outside.cdn.url}/elsewhere")
    outside.cdn.answer = hang
    with pytest.raises(OriginUnreachableError, match="in time"):
        await source.fetch_manifest(LATEST, CLIENT, timeout_seconds=0.2)


async def test_a_head_tells_the_digest(source: Origin, outside: Outside, model: DemoModel) -> None:
    for fields in (
        {"ollama-content-digest": model.digest.encoded},
        {"ollama-content-digest": str(model.digest)},
        {"Docker-Content-Digest": str(model.digest)},
        {"ollama-content-digest": model.digest.encoded, "Docker-Content-Digest": "sha256:0"},
    ):
        outside.registry.answer = fixed(200, b"", **fields)
        found = await source.fetch_manifest_digest(LATEST, CLIENT, timeout_seconds=SECONDS)
        assert found == model.digest
    assert {each.method for each in outside.ledger.asked} == {"HEAD"}


@pytest.mark.parametrize(
    "answer",
    [
        fixed(200),
        fixed(200, Docker_Content_Digest="sha256:12"),
        fixed(200, ollama_content_digest="none"),
        fixed(404),
        fixed(405),
        fixed(304),
    ],
)
async def test_a_head_may_tell_nothing(source: Origin, outside: Outside, answer: Answering) -> None:
    outside.registry.answer = answer
    assert (await source.fetch_manifest_digest(LATEST, CLIENT, timeout_seconds=SECONDS)) is None


async def test_a_blob_s_size_is_asked_of_the_registry(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    assert await source.fetch_blob_size(TINY, blob.digest) == blob.size_bytes
    outside.manners.redirects_blob_head = True
    assert await source.fetch_blob_size(TINY, blob.digest) == blob.size_bytes
    assert [each.method for each in outside.ledger.asked] == ["HEAD"] * 3


async def test_an_unknown_blob_is_refused(source: Origin) -> None:
    found = await source.fetch_blob_size(TINY, digest_of(b"no such blob"))
    assert isinstance(found, Refusal)
    assert (found.status, found.fields["Content-Type"]) == (404, "application/json")


async def test_a_size_that_is_not_said_is_misbehaviour(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    outside.registry.answer = in_chunks(200)
    with pytest.raises(OriginMisbehavedError, match="how long"):
        await source.fetch_blob_size(TINY, blob.digest)


async def test_trouble_is_what_the_last_request_came_to(
    source: Origin, outside: Outside, blob: DemoBlob
) -> None:
    assert (source.trouble, source.is_reached) == (None, False)
    await outside.registry.go_down()
    with pytest.raises(OriginUnreachableError, match="cannot connect") as caught:
        await fetch(source)
    assert (source.trouble, source.is_reached) == (caught.value, False)
    await outside.registry.come_up()
    await fetch(source)
    assert (source.trouble, source.is_reached) == (None, True)
    outside.faults.manifest_status = 503
    with pytest.raises(OriginUnreachableError) as caught:
        await fetch(source)
    assert (source.trouble, source.is_reached) == (caught.value, True)
    outside.faults.manifest_status = 404
    assert isinstance(await fetch(source), Refusal)
    assert source.trouble is None, "a no is an answer"
    outside.faults.body = BodyFault(Break.TRUNCATE, 1000, times=1)
    _, fault = await read_until_it_breaks(source, blob)
    assert source.trouble is fault
    await read(source, blob)
    assert source.trouble is None


async def test_chunksums_come_to_the_byte_and_bounded(
    source: Origin, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.registry.answer = fixed(200, b"sha256:ab 0-1", Content_Location="https://x/")
    digest = digest_of(b"")
    assert await source.fetch_chunksums(TINY, digest) == b"sha256:ab 0-1"
    assert outside.ledger.asked[-1].target == f"/v2/{TINY}/chunksums/{digest}"
    monkeypatch.setattr(origin_module, "CHUNKSUMS_SIZE_BYTES_MAX", 5)
    with pytest.raises(OriginMisbehavedError):
        await source.fetch_chunksums(TINY, digest)


async def test_every_challenge_of_a_refusal_is_kept(source: Origin, outside: Outside) -> None:
    async def challenge(_: web.BaseRequest) -> web.StreamResponse:
        response = web.Response(status=401)
        response.headers.extend({"WWW-Authenticate": 'Bearer realm="https://a/?x=%2f+"'})
        response.headers.add("WWW-Authenticate", 'Basic realm="b"')
        return response

    outside.registry.answer = challenge
    refusal = await source.fetch_manifest(LATEST, CLIENT, timeout_seconds=SECONDS)
    assert isinstance(refusal, Refusal)
    both = 'Bearer realm="https://a/?x=%2f+", Basic realm="b"'
    assert refusal.fields["WWW-Authenticate"] == both
