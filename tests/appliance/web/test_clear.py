"""Pulls in the clear, as `--insecure` and direct clients make them."""

import json

import pytest

from appliance.protocol.digest import digest_of
from tests.appliance.web.conftest import NAME, Door, request

LAYER = bytes(range(256)) * 40
MANIFEST = "/v2/library/tiny/manifests/latest"
BLOB = f"/v2/library/tiny/blobs/{digest_of(LAYER)}"
OLD = "User-Agent: ollama/0.5.0 (amd64 linux) Go/go1.22"
CURRENT = "User-Agent: ollama/0.12.6 (amd64 linux) Go/go1.24"


@pytest.fixture(autouse=True)
def published(door: Door) -> None:
    door.shop.source.publish("tiny", LAYER)


async def test_a_ping_is_answered(door: Door) -> None:
    for target in ("/v2/", "/v2"):
        answer = await door.ask(target)
        assert answer.fields["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_a_manifest_is_answered_verbatim_and_a_head_with_its_length(door: Door) -> None:
    async with door.dial() as wire:
        whole = await wire.ask(request(MANIFEST))
        head = await wire.ask(request(MANIFEST, method="HEAD"))
        again = await wire.ask(request(MANIFEST))
    assert digest_of(whole.body) == digest_of(again.body)
    assert head.fields["Content-Length"] == str(len(whole.body))


async def test_a_client_that_dials_a_name_is_sent_to_the_address_it_reached(door: Door) -> None:
    await door.ask(MANIFEST)
    async with door.dial() as wire:
        answer = await wire.ask(request(BLOB, CURRENT, host=f"{NAME}:{door.port}"))
        assert answer.status == 307
        location = answer.fields["Location"]
        start = f"http://127.0.0.1:{door.port}"
        assert location.startswith(f"{start}/blobs/sha256:")
        assert (await wire.ask(request(location.removeprefix(start)))).body == LAYER


async def test_a_client_that_dials_our_address_is_not_sent_in_a_circle(door: Door) -> None:
    await door.ask(MANIFEST)
    async with door.dial() as wire:
        host = f"127.0.0.1:{door.port}"
        answer = await wire.ask(request(BLOB, CURRENT, host=host))
        assert (answer.status, answer.body) == (200, b"")
        assert answer.fields["Location"].startswith(f"http://{host}/blobs/")
        assert (await wire.ask(request(BLOB, OLD, host=host))).body == LAYER


async def test_another_client_gets_the_bytes_where_it_asks(door: Door) -> None:
    await door.ask(MANIFEST)
    async with door.dial() as wire:
        assert (await wire.ask(request(BLOB))).body == LAYER
        part = await wire.ask(request(BLOB, "Range: bytes=1-2"))
        assert (part.status, part.body) == (206, LAYER[1:3])
        head = await wire.ask(request(BLOB, method="HEAD"))
        assert head.fields["Content-Length"] == str(len(LAYER))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("target", ["/v2/library/tiny/blobs/uploads/", MANIFEST, "/blobs/x"])
async def test_the_plain_door_only_reads(door: Door, method: str, target: str) -> None:
    answer = await door.ask(target, "Content-Length: 0", method=method)
    assert answer.status == 405
    assert json.loads(answer.body)["errors"]


async def test_what_is_no_pull_does_not_pass_through(door: Door) -> None:
    assert (await door.ask("/v2/_catalog")).status == 405


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v2/library/absent/manifests/latest", 404),
        ("/v2/library/a%00b/manifests/latest", 400),
        ("/v2/library/%2e%2e/manifests/latest", 400),
        ("/v2/library/tiny/blobs/sha256:abc", 400),
        ("/v2/library/tiny/manifests/" + "a" * 200, 400),
    ],
)
async def test_what_cannot_be_is_refused_in_the_registry_s_shape(
    door: Door, target: str, status: int
) -> None:
    answer = await door.ask(target)
    assert answer.status == status
    assert "errors" in json.loads(answer.body)


async def test_an_encoded_colon_is_a_colon(door: Door) -> None:
    await door.ask(MANIFEST)
    assert (await door.ask(BLOB.replace(":", "%3A"))).body == LAYER


@pytest.mark.parametrize("field", [b"Accept", b"User-Agent", b"Range"])
async def test_a_field_that_is_no_text_spoils_nothing(door: Door, field: bytes) -> None:
    async with door.dial() as wire:
        head = request(MANIFEST).removesuffix(b"\r\n")
        assert (await wire.ask(head + field + b": \xff\xfe\r\n\r\n")).status == 200


async def test_a_body_nobody_asked_for_is_not_kept(door: Door) -> None:
    async with door.dial() as wire:
        answer = await wire.ask(request("/v2/", "Content-Length: 1000000000"))
        assert answer.status == 200
