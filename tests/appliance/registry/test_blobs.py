"""Blobs: how large they are, where a client is sent for them, and what a grant opens."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from appliance.policy.delivery import Delivery
from appliance.policy.grants import ACTIVE_SECONDS, GRANT_SECONDS
from appliance.protocol.digest import digest_of
from appliance.protocol.errors import BlobUnknown, Denied, RangeNotSatisfiable
from appliance.protocol.reference import Repository
from appliance.registry import blobs as blobs_module
from appliance.registry.blobs import BlobRoutes
from appliance.registry.requests import Answer, BlobAnswer, Request
from tests.appliance.cache.pulling import CONTENT, DIGEST, TINY, Clock, find, settled
from tests.appliance.registry.requesting import (
    BLOB,
    BLOB_HOST,
    BY_ADDRESS,
    BY_HTTPS,
    BY_PROXY,
    IN_THE_CLEAR,
    OLLAMA_NEW,
    body_of,
    granted,
)
from tests.fakes.source import FakeSource

SIZE = len(CONTENT)
EMPTY = digest_of(b"")
OTHER = Repository("someone", "else")


@pytest.fixture(autouse=True)
async def listed(blobs: BlobRoutes, source: FakeSource) -> None:
    await find(blobs.cache)
    source.asked.clear()


async def test_a_size_comes_from_the_manifest_without_the_origin(
    blobs: BlobRoutes, source: FakeSource
) -> None:
    source.is_away = True
    answer = await blobs.answer_size(BY_HTTPS, TINY, DIGEST)
    assert isinstance(answer, Answer)
    assert answer.status == 200
    assert answer.fields["Content-Length"] == str(SIZE)
    assert answer.fields["Accept-Ranges"] == "bytes"
    assert answer.fields["Docker-Content-Digest"] == str(DIGEST)
    assert source.asked == []


async def test_a_size_nobody_lists_is_the_origin_s_to_say(blobs: BlobRoutes) -> None:
    answer = await blobs.answer_size(BY_HTTPS, TINY, digest_of(b"unknown"))
    assert isinstance(answer, Answer)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("request_", "address", "base"),
    [
        pytest.param(BY_HTTPS, "", "http://192.168.1.5:8080", id="https: our port"),
        pytest.param(IN_THE_CLEAR, "", "http://192.168.1.5", id="plain: port 80 goes unsaid"),
        pytest.param(
            replace(IN_THE_CLEAR, host_port=8081),
            "",
            "http://192.168.1.5:8081",
            id="plain: its own",
        ),
        pytest.param(BY_HTTPS, "10.0.0.9", "http://10.0.0.9:8080", id="box.address"),
        pytest.param(
            replace(BY_HTTPS, dialled="fd00::5"), "", "http://[fd00::5]:8080", id="IPv6 in brackets"
        ),
        pytest.param(
            replace(IN_THE_CLEAR, dialled="fd00::5"), "", "http://[fd00::5]", id="IPv6 on port 80"
        ),
    ],
)
def test_a_location_names_the_box_as_the_client_reaches_it(
    blobs: BlobRoutes, clock: Clock, request_: Request, address: str, base: str
) -> None:
    blobs.address = address
    location = urlsplit(blobs.location(request_, Delivery.REDIRECT, TINY, DIGEST))
    assert f"{location.scheme}://{location.netloc}" == base
    assert location.path == f"/blobs/{DIGEST}"
    query = parse_qs(location.query)
    assert query["model"] == ["library/tiny"]
    assert query["expires"] == [str(int(clock.now) + GRANT_SECONDS)]


def test_who_names_the_box_by_the_location_s_host_is_not_redirected(blobs: BlobRoutes) -> None:
    assert blobs.choose(BY_ADDRESS) is Delivery.LOCATION
    assert blobs.choose(replace(BY_ADDRESS, host="box.lan")) is Delivery.REDIRECT
    blobs.address = "10.0.0.9"
    assert blobs.choose(BY_ADDRESS) is Delivery.REDIRECT
    assert blobs.choose(replace(BY_ADDRESS, host="10.0.0.9")) is Delivery.LOCATION
    blobs.address = ""
    by_v6 = replace(BY_ADDRESS, host="fd00::5", dialled="fd00::5")
    assert blobs.choose(by_v6) is Delivery.LOCATION


@pytest.fixture
def url(blobs: BlobRoutes) -> str:
    return blobs.location(BY_HTTPS, Delivery.REDIRECT, TINY, DIGEST)


@pytest.mark.parametrize(
    ("request_", "delivery", "base"),
    [
        pytest.param(BY_HTTPS, Delivery.TLS, f"https://{BLOB_HOST}", id="the blob host"),
        pytest.param(BY_PROXY, Delivery.TLS, f"https://{BLOB_HOST}", id="through a tunnel"),
        pytest.param(
            BY_HTTPS, Delivery.LOCATION, "https://registry.ollama.ai", id="the host that was asked"
        ),
        pytest.param(
            replace(BY_PROXY, host_port=8443),
            Delivery.LOCATION,
            "https://registry.ollama.ai:8443",
            id="and its port",
        ),
        pytest.param(
            BY_ADDRESS, Delivery.RESPELLED, "http://[::ffff:192.168.1.5]:8080", id="respelled"
        ),
        pytest.param(
            replace(BY_ADDRESS, dialled="fd00::5"),
            Delivery.RESPELLED,
            "http://[fd00:0000:0000:0000:0000:0000:0.0.0.5]:8080",
            id="IPv6 respelled",
        ),
    ],
)
def test_a_location_is_of_the_kind_that_was_chosen(
    blobs: BlobRoutes, request_: Request, delivery: Delivery, base: str
) -> None:
    location = urlsplit(blobs.location(request_, delivery, TINY, DIGEST))
    assert f"{location.scheme}://{location.netloc}" == base


def test_the_blob_host_s_port_is_said_where_it_is_not_443(blobs: BlobRoutes) -> None:
    blobs.tls_port = 8443
    location = blobs.location(BY_HTTPS, Delivery.TLS, TINY, DIGEST)
    assert location.startswith(f"https://{BLOB_HOST}:8443/blobs/{DIGEST}?")
    tunnelled = blobs.location(BY_PROXY, Delivery.TLS, TINY, DIGEST)
    assert tunnelled.startswith(f"https://{BLOB_HOST}/blobs/{DIGEST}?")


def test_the_blob_host_is_for_those_who_reach_it(blobs: BlobRoutes) -> None:
    new, tunnelled = (replace(each, user_agent=OLLAMA_NEW) for each in (BY_HTTPS, BY_PROXY))
    assert blobs.choose(new) is Delivery.ORIGIN
    assert blobs.choose(tunnelled) is Delivery.TLS
    blobs.is_blob_host_offered = lambda request: request.client_address == new.client_address
    assert blobs.choose(new) is Delivery.TLS
    assert blobs.choose(replace(new, client_address="192.168.1.21")) is Delivery.ORIGIN


async def test_a_grant_opens_its_blob(blobs: BlobRoutes, url: str) -> None:
    reply = await blobs.answer_granted(granted(url))
    assert reply == BlobAnswer(200, reply.fields, reply.reader)  # type: ignore[union-attr]
    assert await body_of(reply) == CONTENT


async def test_a_digest_may_come_escaped(blobs: BlobRoutes, url: str) -> None:
    escaped = granted(url.replace("sha256:", "sha256%3A"))
    assert await body_of(await blobs.answer_granted(escaped)) == CONTENT


@pytest.mark.parametrize(
    ("field", "span"),
    [("bytes=0-99", (0, 100)), (f"bytes={SIZE - 5}-", (SIZE - 5, SIZE)), ("bytes=-7", (-7, SIZE))],
)
async def test_a_range_is_answered_by_just_those_bytes(
    blobs: BlobRoutes, url: str, field: str, span: tuple[int, int]
) -> None:
    reply = await blobs.answer_granted(replace(granted(url), range_field=field))
    assert isinstance(reply, BlobAnswer)
    assert reply.status == 206
    start = span[0] % SIZE
    assert reply.fields["Content-Range"] == f"bytes {start}-{span[1] - 1}/{SIZE}"
    assert await body_of(reply) == CONTENT[span[0] : span[1]]


@pytest.mark.parametrize("field", ["bytes=5-2", "pages=1-2", "bytes=0-1,4-5"])
async def test_a_range_that_is_none_gets_the_whole(blobs: BlobRoutes, url: str, field: str) -> None:
    reply = await blobs.answer_granted(replace(granted(url), range_field=field))
    assert isinstance(reply, BlobAnswer)
    assert reply.status == 200
    assert "Content-Range" not in reply.fields
    assert await body_of(reply) == CONTENT


async def test_a_range_past_the_end_has_no_bytes(blobs: BlobRoutes, url: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        await blobs.answer_granted(replace(granted(url), range_field=f"bytes={SIZE}-"))
    assert caught.value.fields()["Content-Range"] == f"bytes */{SIZE}"


async def test_a_head_tells_the_whole_length_whatever_range_it_names(
    blobs: BlobRoutes, url: str, source: FakeSource
) -> None:
    """RFC 9110 §14.2: Range is defined for GET only."""
    head = replace(granted(url), method="HEAD", range_field="bytes=0-9")
    answer = await blobs.answer_granted(head)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.fields["Content-Length"]) == (200, str(SIZE))
    assert source.asked == []


async def test_the_empty_blob_is_empty(blobs: BlobRoutes) -> None:
    request = granted(blobs.location(BY_HTTPS, Delivery.REDIRECT, TINY, EMPTY))
    for field in (None, "bytes=0-"):
        answer = await blobs.answer_granted(replace(request, range_field=field))
        assert isinstance(answer, Answer)
        assert (answer.status, answer.fields["Content-Length"]) == (200, "0")


async def test_a_grant_ends(blobs: BlobRoutes, url: str, clock: Clock) -> None:
    clock.now += GRANT_SECONDS
    with pytest.raises(Denied, match="expired"):
        await blobs.answer_granted(granted(url))


async def test_a_grant_in_use_goes_on_past_its_end(
    blobs: BlobRoutes, url: str, clock: Clock
) -> None:
    clock.now += GRANT_SECONDS - 1
    await body_of(await blobs.answer_granted(granted(url)))
    for _ in range(5):
        clock.now += ACTIVE_SECONDS - 1
        await body_of(await blobs.answer_granted(granted(url)))
    clock.now += ACTIVE_SECONDS
    with pytest.raises(Denied):
        await blobs.answer_granted(granted(url))


async def test_uses_are_remembered_for_the_latest_grants_only(
    blobs: BlobRoutes, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_module, "_GRANTS_IN_USE_MAX", 2)
    urls = []
    for _ in range(3):
        urls.append(blobs.location(BY_HTTPS, Delivery.REDIRECT, TINY, DIGEST))
        clock.now += 1
    clock.now += GRANT_SECONDS - 5
    for url in urls:
        await body_of(await blobs.answer_granted(granted(url)))
    clock.now += 10
    with pytest.raises(Denied):
        await blobs.answer_granted(granted(urls[0]))
    await body_of(await blobs.answer_granted(granted(urls[2])))


@pytest.mark.parametrize(
    "forge",
    [
        lambda url: url.partition("?")[0],
        lambda url: url.replace("signature=", "signature=0"),
        lambda url: url.replace("library/tiny", "library/other"),
        lambda url: url.replace("expires=1", "expires=2"),
        lambda url: url.replace(str(DIGEST), str(digest_of(b"another"))),
        lambda url: url + "&expires=9999999999",
        lambda url: url.partition("signature")[0] + "signature=%ff%00",
    ],
)
async def test_a_grant_that_we_did_not_make_opens_nothing(
    blobs: BlobRoutes, url: str, forge: object, source: FakeSource
) -> None:
    assert callable(forge)
    with pytest.raises(Denied):
        await blobs.answer_granted(granted(forge(url)))
    assert source.asked == []


@pytest.mark.parametrize("name", ["", "sha256:", "../../secret", "sha512:" + "0" * 64])
async def test_what_is_no_digest_is_no_blob(blobs: BlobRoutes, url: str, name: str) -> None:
    request = replace(granted(url), target=f"/blobs/{name}?{url.partition('?')[2]}")
    with pytest.raises(BlobUnknown):
        await blobs.answer_granted(request)


async def test_a_grant_for_a_repository_that_does_not_list_the_blob_asks_the_origin(
    blobs: BlobRoutes, url: str, source: FakeSource
) -> None:
    await body_of(await blobs.answer_granted(granted(url)))
    await settled(blobs.cache)
    del source.blobs[DIGEST]
    elsewhere = blobs.location(BY_HTTPS, Delivery.REDIRECT, OTHER, DIGEST)
    answer = await blobs.answer_granted(granted(elsewhere))
    assert isinstance(answer, Answer)
    assert answer.status == 404
    assert source.asked[-1] == "HEAD blob"


async def test_a_second_pull_says_hit(blobs: BlobRoutes, url: str) -> None:
    first = await blobs.answer_granted(granted(url))
    await body_of(first)
    await settled(blobs.cache)
    second = await blobs.answer_granted(granted(url))
    await body_of(second)
    assert isinstance(first, BlobAnswer)
    assert isinstance(second, BlobAnswer)
    assert first.fields["Cache-Status"] == "ollama-appliance; fwd=uri-miss; stored"
    assert second.fields["Cache-Status"] == "ollama-appliance; hit"


def test_a_blob_s_path_is_not_a_grant_s() -> None:
    assert not BLOB.startswith(blobs_module.BLOBS_PATH)
