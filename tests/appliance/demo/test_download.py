"""A fair judge of direct URLs: content with what Ollama accepts, and with nothing less."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.habits import NEWEST
from appliance.demo.outside import Outside
from tests.appliance.demo.conftest import fixed, pull, replace_blob_answers


@pytest.mark.parametrize(
    ("status", "location", "sentence"),
    [
        (200, None, "http: no Location header in response"),
        (307, None, "http: no Location header in response"),
        (206, None, "unexpected status code 206"),
        (301, "https://blobs.cdn.test/x", "unexpected status code 301"),
        (302, "https://blobs.cdn.test/x", "unexpected status code 302"),
        (303, "https://blobs.cdn.test/x", "unexpected status code 303"),
        (308, "https://blobs.cdn.test/x", "unexpected status code 308"),
    ],
)
async def test_only_200_and_307_with_a_location_give_a_direct_url(
    client: Client, outside: Outside, status: int, location: str | None, sentence: str
) -> None:
    fields = {"Location": location} if location else {}
    replace_blob_answers(outside, "GET", fixed(status, **fields))
    with pytest.raises(PullError, match=f"^{sentence}$"):
        await pull(client)


async def test_a_plain_registry_does_not_do(client: Client, outside: Outside) -> None:
    outside.manners.sends_blobs_itself = True
    with pytest.raises(PullError, match=r"^http: no Location header in response$"):
        await pull(client)


async def test_200_with_a_location_does(client: Client, outside: Outside) -> None:
    outside.manners.sends_blobs_itself = True
    ordinary = outside.registry.answer

    async def with_location(request: web.BaseRequest) -> web.StreamResponse:
        if "Range" in request.headers:
            return await ordinary(request)
        return web.Response(headers={"Location": request.raw_path}, body=b"never read")

    replace_blob_answers(outside, "GET", with_location)
    assert (await pull(client)).sha256_ok


async def test_a_redirect_on_the_same_host_is_followed_and_must_answer_itself(
    client: Client, outside: Outside
) -> None:
    async def twice(request: web.BaseRequest) -> web.StreamResponse:
        if request.query_string == "again":
            return web.Response(status=307, headers={"Location": "https://blobs.cdn.test/x"})
        return web.Response(status=302, headers={"Location": f"{request.raw_path}?again"})

    replace_blob_answers(outside, "GET", twice)
    outside.faults.cdn_status = 503
    with pytest.raises(PullError, match=r"^max retries exceeded: "):
        await pull(client)
    assert outside.ledger.count("GET", "?again") == 1


async def test_a_loop_on_the_same_host_uses_up_the_time(client: Client, outside: Outside) -> None:
    replace_blob_answers(outside, "GET", fixed(307, Location="{path}"))
    with pytest.raises(PullError, match=r"^context deadline exceeded$"):
        await pull(client)


async def test_the_direct_url_is_asked_for_again_until_the_time_is_up(
    client: Client, outside: Outside
) -> None:
    replace_blob_answers(outside, "GET", fixed(503))
    with pytest.raises(PullError, match=r"^context deadline exceeded$"):
        await pull(client)
    assert outside.ledger.count("GET", "/blobs/", "registry") > 5


async def without_length(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def test_a_head_without_length_is_an_empty_file_and_a_mismatch(
    client: Client, outside: Outside
) -> None:
    replace_blob_answers(outside, "HEAD", without_length)
    with pytest.raises(DigestMismatchError, match="got sha256:e3b0c442"):
        await pull(client)


async def test_the_newest_clients_refuse_a_head_without_length(
    outside: Outside, tmp_path: Path
) -> None:
    replace_blob_answers(outside, "HEAD", without_length)
    with pytest.raises(PullError, match=r'^invalid Content-Length ""$'):
        await pull(Client(tmp_path / "client", outside.surroundings, NEWEST))


async def test_a_head_elsewhere_is_followed_by_old_clients_only(
    client: Client, outside: Outside, tmp_path: Path
) -> None:
    outside.manners.redirects_blob_head = True
    assert (await pull(client)).sha256_ok
    with pytest.raises(PullError, match="blocked redirect to a different host"):
        await pull(Client(tmp_path / "newest", outside.surroundings, NEWEST))


async def test_the_newest_clients_refuse_private_addresses(
    outside: Outside, tmp_path: Path
) -> None:
    client = Client(tmp_path / "client", outside.surroundings, NEWEST)
    refusal = "redirect target not allowed: blobs.cdn.test resolves to non-public 127.0.0.1"
    with pytest.raises(PullError, match=f"^{refusal}$"):
        await pull(client)


async def test_the_newest_clients_take_public_looking_addresses(
    outside: Outside, tmp_path: Path
) -> None:
    outside.names.zone["blobs.cdn.test"] = ("203.0.113.10",)
    routes = {"203.0.113.10": outside.cdn.address}
    surroundings = replace(outside.surroundings, routes=routes)
    assert (await pull(Client(tmp_path / "client", surroundings, NEWEST))).sha256_ok


async def test_the_newest_clients_refuse_http_after_https(outside: Outside, tmp_path: Path) -> None:
    replace_blob_answers(outside, "GET", fixed(307, Location="http://blobs.cdn.test/x"))
    with pytest.raises(PullError, match=r"^redirect target not allowed: http"):
        await pull(Client(tmp_path / "client", outside.surroundings, NEWEST))
