"""One request in, one reply out: every row of what the two doors may be asked."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.cache.pulls import Cache
from appliance.cache.tally import Count
from appliance.policy.delivery import Delivery, DeliveryPolicy, Door, Fallback, Urls
from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from appliance.registry.blobs import BlobRoutes
from appliance.registry.registry import Registry
from appliance.registry.requests import Answer, BlobAnswer, PassThrough, Request
from appliance.upstream.builtin import BUILTIN
from appliance.upstream.source import Refusal
from tests.appliance.cache.pulling import (
    CONTENT,
    DIGEST,
    LATEST,
    OLLAMA,
    TINY,
    Clock,
    find,
    pull,
)
from tests.appliance.registry.requesting import (
    BLOB,
    BLOB_HOST,
    BY_ADDRESS,
    BY_HTTPS,
    BY_PROXY,
    CURL,
    IN_THE_CLEAR,
    MANIFEST,
    OLLAMA_NEW,
    answered,
    body_of,
    granted,
    message_of,
)
from tests.appliance.store.samples import manifest_of
from tests.fakes.source import FakeSource

TINY_MANIFEST = manifest_of(CONTENT, b"")
UNLISTED = digest_of(b"private")
SIZE = len(CONTENT)


async def test_a_manifest_is_answered_byte_for_byte(registry: Registry) -> None:
    for door in (BY_HTTPS, IN_THE_CLEAR):
        answer = await answered(registry, door)
        assert (answer.status, answer.content) == (200, TINY_MANIFEST)
        assert answer.fields["Content-Type"] == MANIFEST_TYPE
        assert answer.fields["Docker-Content-Digest"] == str(digest_of(TINY_MANIFEST))
        assert answer.fields["ollama-content-digest"] == digest_of(TINY_MANIFEST).encoded
    again = await answered(registry, BY_HTTPS)
    assert again.fields["Cache-Status"] == "ollama-appliance; hit"


async def test_only_a_get_of_a_manifest_is_a_pull(registry: Registry, cache: Cache) -> None:
    await answered(registry, replace(BY_HTTPS, method="HEAD"))
    assert cache.books.models()[0].pulls == 0
    await answered(registry, BY_HTTPS)
    await answered(registry, IN_THE_CLEAR)
    cache.books.save()
    assert cache.books.models()[0].pulls == 2


async def test_the_head_of_a_manifest_tells_what_a_get_would(registry: Registry) -> None:
    head = await answered(registry, replace(BY_HTTPS, method="HEAD"))
    get = await answered(registry, BY_HTTPS)
    assert dict(head.fields) | {"Cache-Status": ""} == dict(get.fields) | {"Cache-Status": ""}
    assert len(head.content) == len(get.content)


async def test_a_refusal_passes_with_body_and_fields(
    registry: Registry, source: FakeSource
) -> None:
    refusal = Refusal(412, {"Content-Type": "text/plain"}, b"requires a newer version of Ollama")
    source.manifests[LATEST] = refusal
    answer = await answered(registry, BY_HTTPS)
    assert (answer.status, answer.fields, answer.content) == (412, refusal.fields, refusal.content)


async def test_an_origin_away_is_a_503_with_a_sentence(
    registry: Registry, source: FakeSource
) -> None:
    source.is_away = True
    answer = await answered(registry, BY_HTTPS)
    assert answer.status == 503
    assert "nobody is there" in message_of(answer)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(replace(BY_HTTPS, has_authorization=True), id="a manifest, authorised"),
        pytest.param(
            replace(BY_HTTPS, target=BLOB, has_authorization=True), id="a blob, authorised"
        ),
        pytest.param(
            replace(BY_HTTPS, target="/v2/", has_authorization=True), id="a ping, authorised"
        ),
        pytest.param(
            replace(BY_HTTPS, target=f"/v2/library/tiny/blobs/{UNLISTED}"), id="an unlisted blob"
        ),
        pytest.param(
            replace(BY_HTTPS, method="HEAD", target=f"/v2/library/tiny/blobs/{UNLISTED}"),
            id="a push asks whether its blob is there",
        ),
        pytest.param(
            replace(BY_HTTPS, target=f"/v2/someone/else/blobs/{DIGEST}"),
            id="a blob under a repository that does not list it",
        ),
        *(
            pytest.param(replace(BY_HTTPS, method=method, target=target), id=f"{method} {target}")
            for method, target in [
                ("POST", "/v2/library/tiny/blobs/uploads/"),
                ("PATCH", "/v2/library/tiny/blobs/uploads/1"),
                ("PUT", "/v2/library/tiny/blobs/uploads/1?digest=x"),
                ("PUT", MANIFEST),
                ("DELETE", MANIFEST),
                ("DELETE", BLOB),
                ("OPTIONS", MANIFEST),
                ("POST", BLOB),
                ("GET", "/v2/_catalog"),
                ("GET", "/v2/library/tiny/tags/list"),
                ("GET", f"/v2/library/tiny/chunksums/{UNLISTED}"),
                ("GET", "/token?service=a&scope=b"),
                ("GET", f"/blobs/{DIGEST}?expires=1"),
                ("GET", "/"),
            ]
        ),
    ],
)
async def test_by_https_all_that_is_no_public_pull_passes_through(
    registry: Registry, source: FakeSource, request_: Request
) -> None:
    await find(registry.cache)
    await pull(registry.cache)
    source.asked.clear()
    assert await registry.answer(request_) == PassThrough()
    assert source.asked == []


@pytest.mark.parametrize("door", [BY_HTTPS, IN_THE_CLEAR])
async def test_a_ping_is_answered(registry: Registry, door: Request) -> None:
    for target in ("/v2/", "/v2"):
        answer = await answered(registry, replace(door, target=target))
        assert (answer.status, answer.content) == (200, b"{}")
        assert answer.fields["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("door", [BY_HTTPS, IN_THE_CLEAR])
async def test_the_head_of_a_blob_asks_nobody_once_the_manifest_is_here(
    registry: Registry, source: FakeSource, door: Request
) -> None:
    await answered(registry, BY_HTTPS)
    source.is_away = True
    answer = await answered(registry, replace(door, method="HEAD", target=BLOB))
    assert (answer.status, answer.fields["Content-Length"]) == (200, str(SIZE))


@pytest.mark.parametrize("target", [BLOB, BLOB.replace(":", "%3A"), BLOB.replace(":", "%3a")])
async def test_by_https_a_blob_is_a_redirect_to_the_plain_door(
    registry: Registry, target: str
) -> None:
    await answered(registry, BY_HTTPS)
    answer = await answered(registry, replace(BY_HTTPS, target=target))
    assert (answer.status, answer.content) == (307, b"")
    location = answer.fields["Location"]
    assert location.startswith(f"http://192.168.1.5:8080/blobs/{DIGEST}?")
    assert await body_of(await registry.answer(granted(location))) == CONTENT


async def test_a_redirect_starts_no_fill(registry: Registry, source: FakeSource) -> None:
    await answered(registry, BY_HTTPS)
    await answered(registry, replace(BY_HTTPS, target=BLOB))
    assert registry.cache.fills == ()
    assert source.asked == ["GET manifest"]


async def test_a_range_by_https_is_sent_at_once_where_the_door_can(registry: Registry) -> None:
    await answered(registry, BY_HTTPS)
    request = replace(BY_HTTPS, target=BLOB, user_agent=CURL, range_field="bytes=5-")
    assert await body_of(await registry.answer(request)) == CONTENT[5:]
    registry.blobs.can_send_inline = False
    assert (await answered(registry, request)).status == 307
    target = (
        (await answered(registry, request))
        .fields["Location"]
        .removeprefix("http://192.168.1.5:8080")
    )
    by_grant = replace(request, target=target)
    assert (await answered(registry, by_grant)).status == 503


async def test_a_newer_client_by_https_goes_on_to_the_origin(
    registry: Registry, cache: Cache
) -> None:
    new = replace(BY_HTTPS, user_agent=OLLAMA_NEW)
    assert (await answered(registry, new)).status == 200
    assert await registry.answer(replace(new, target=BLOB)) == PassThrough()
    assert cache.books.tally.since_start[Count.DEFERRED] == 1


async def test_a_newer_client_with_the_origin_away_is_told_at_the_manifest(
    registry: Registry, source: FakeSource, clock: Clock
) -> None:
    await answered(registry, BY_HTTPS)
    clock.now += 61
    source.is_away = True
    answer = await answered(registry, replace(BY_HTTPS, user_agent=OLLAMA_NEW))
    assert answer.status == 503
    assert "ollama pull --insecure" in message_of(answer)
    assert (await answered(registry, BY_HTTPS)).status == 200
    in_the_clear = replace(IN_THE_CLEAR, user_agent=OLLAMA_NEW)
    assert (await answered(registry, in_the_clear)).status == 200
    assert (await answered(registry, replace(BY_HTTPS, user_agent=CURL))).status == 200


async def test_a_newer_client_is_told_at_once_where_the_origin_is_no_fallback(
    registry: Registry, blobs: BlobRoutes
) -> None:
    blobs.policy = DeliveryPolicy((0, 35, 2), fallback=Fallback.REFUSE)
    await answered(registry, BY_HTTPS)
    new = replace(BY_HTTPS, user_agent=OLLAMA_NEW)
    for target in (MANIFEST, BLOB):
        answer = await answered(registry, replace(new, target=target))
        assert answer.status == 503
        assert "--insecure" in message_of(answer)
    assert (await answered(registry, replace(BY_HTTPS, target=BLOB))).status == 307


@pytest.mark.parametrize(
    ("address", "port", "line"),
    [
        ("192.168.1.5", 3128, "HTTPS_PROXY=http://192.168.1.5:3128 "),
        ("fd00::5", 8888, "HTTPS_PROXY=http://[fd00::5]:8888 "),
    ],
)
async def test_who_is_refused_is_told_the_ways_that_work(
    registry: Registry, blobs: BlobRoutes, address: str, port: int, line: str
) -> None:
    blobs.policy, blobs.proxy_port = DeliveryPolicy((0, 35, 2), fallback=Fallback.REFUSE), port
    new = replace(BY_HTTPS, user_agent=OLLAMA_NEW, dialled=address)
    said = message_of(await answered(registry, new))
    assert "`ollama pull --insecure NAME`" in said
    assert line in said
    assert "out of reach" not in said
    blobs.proxy_port = None
    assert "PROXY" not in message_of(await answered(registry, new))


async def test_through_the_proxy_nobody_is_refused(
    registry: Registry, blobs: BlobRoutes, source: FakeSource, clock: Clock
) -> None:
    blobs.policy = DeliveryPolicy((0, 35, 2), fallback=Fallback.REFUSE)
    new = replace(BY_PROXY, user_agent=OLLAMA_NEW)
    assert (await answered(registry, new)).status == 200
    source.is_away = True
    clock.now += 61
    assert (await answered(registry, new)).status == 200
    answer = await answered(registry, replace(new, target=BLOB))
    assert answer.fields["Location"].startswith(f"https://{BLOB_HOST}/blobs/")


EXPERIMENT = replace(
    BY_HTTPS, user_agent="ollama/v0.6.0 (x)", has_authorization=True, is_signed_by_habit=True
)


async def test_the_experimental_puller_signs_and_is_answered_what_is_public(
    registry: Registry,
) -> None:
    answer = await answered(registry, EXPERIMENT)
    assert (answer.status, answer.content) == (200, TINY_MANIFEST)
    assert (await answered(registry, replace(EXPERIMENT, target=BLOB))).status == 307


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_what_the_origin_does_not_give_anybody_passes_with_its_signature(
    registry: Registry, source: FakeSource, status: int
) -> None:
    source.manifests[LATEST] = Refusal(status, {}, b"")
    assert await registry.answer(EXPERIMENT) == PassThrough()
    assert await registry.answer(replace(EXPERIMENT, target=BLOB)) == PassThrough()


async def test_a_model_that_is_private_now_passes_whatever_is_stored(
    registry: Registry, source: FakeSource, clock: Clock
) -> None:
    assert (await answered(registry, EXPERIMENT)).status == 200
    source.manifests[LATEST] = Refusal(401, {}, b"")
    clock.now += 61
    assert await registry.answer(EXPERIMENT) == PassThrough()


@pytest.mark.parametrize("target", ["/token", "/v2/_catalog", f"/blobs/{DIGEST}?expires=1"])
async def test_what_else_is_signed_passes(registry: Registry, target: str) -> None:
    await answered(registry, BY_HTTPS)
    assert await registry.answer(replace(EXPERIMENT, target=target)) == PassThrough()


@pytest.fixture
async def listed(cache: Cache) -> None:
    """The manifest is stored, and so lists its blobs."""
    await find(cache)


@pytest.mark.usefixtures("listed")
async def test_a_location_left_alone_gives_way_to_the_next(
    registry: Registry, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """An Ollama that refuses earlier than the threshold says: one failed pull, and no second."""
    registry.blobs.is_blob_host_offered = lambda request: True
    ask = replace(BY_HTTPS, target=BLOB, user_agent="ollama/0.35.1 (x)")
    assert (await answered(registry, ask)).fields["Location"].startswith("http://")
    clock.now += 2
    again = (await answered(registry, ask)).fields["Location"]
    assert again.startswith(f"https://{BLOB_HOST}/")
    assert "ollama/0.35.1 (x) at 192.168.1.20" in caplog.text
    clock.now += 100
    assert await registry.answer(ask) == PassThrough()
    elsewhere = replace(ask, client_address="192.168.1.21")
    assert (await answered(registry, elsewhere)).fields["Location"].startswith("http://")


@pytest.mark.usefixtures("listed")
async def test_a_part_that_arrives_keeps_its_kind(registry: Registry, clock: Clock) -> None:
    ask = replace(BY_HTTPS, target=BLOB)
    for _ in range(3):
        location = (await answered(registry, ask)).fields["Location"]
        assert location.startswith("http://")
        await body_of(await registry.answer(granted(location)))
        clock.now += 100


@pytest.mark.usefixtures("listed")
async def test_a_part_that_comes_late_brings_its_kind_back(
    registry: Registry, clock: Clock
) -> None:
    ask = replace(BY_HTTPS, target=BLOB)
    location = (await answered(registry, ask)).fields["Location"]
    clock.now += 6
    assert await registry.answer(ask) == PassThrough()
    await body_of(await registry.answer(granted(location)))
    assert (await answered(registry, ask)).fields["Location"].startswith("http://")


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(replace(IN_THE_CLEAR, target=BLOB), id="in the clear"),
        pytest.param(replace(BY_HTTPS, target=BLOB, user_agent=CURL), id="no Ollama"),
        pytest.param(replace(BY_HTTPS, target=BLOB, user_agent="ollama/v0.6.0"), id="experiment"),
        pytest.param(
            replace(BY_HTTPS, target=f"/v2/library/tiny/blobs/{digest_of(b'')}"), id="empty blob"
        ),
        pytest.param(replace(BY_HTTPS, target=BLOB, method="HEAD"), id="a HEAD"),
    ],
)
async def test_what_teaches_nothing(registry: Registry, clock: Clock, request_: Request) -> None:
    for _ in range(3):
        await registry.answer(request_)
        clock.now += 100
    assert registry.cache.books.learning.lessons == {}


@pytest.mark.usefixtures("listed")
async def test_tensors_go_the_way_that_their_ollama_learnt(
    registry: Registry, clock: Clock
) -> None:
    registry.blobs.is_blob_host_offered = lambda request: True
    tensor = replace(BY_HTTPS, target=BLOB, user_agent="ollama-transfer/1.0")
    assert (await answered(registry, tensor)).fields["Location"].startswith("https://")
    await answered(registry, replace(BY_HTTPS, user_agent="ollama/0.30.0"))
    assert (await answered(registry, tensor)).fields["Location"].startswith("http://")
    await answered(registry, replace(BY_HTTPS, target=BLOB, user_agent="ollama/0.30.0"))
    clock.now += 6
    assert (await answered(registry, tensor)).fields["Location"].startswith("https://")


@pytest.mark.usefixtures("listed")
async def test_each_client_of_a_crowd_has_a_grant_of_its_own(registry: Registry) -> None:
    locations = set()
    for number in range(50):
        ask = replace(BY_HTTPS, target=BLOB, client_address=f"192.168.1.{number}")
        locations.add((await answered(registry, ask)).fields["Location"])
    assert len(locations) == 50
    for location in locations:
        assert await body_of(await registry.answer(granted(location))) == CONTENT


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("user_agent", [OLLAMA, OLLAMA_NEW, CURL, "ollama-transfer/1.0"])
@pytest.mark.parametrize("door", [BY_HTTPS, BY_PROXY, IN_THE_CLEAR, BY_ADDRESS])
async def test_manifests_and_heads_are_never_redirected(
    registry: Registry, door: Request, user_agent: str, method: str
) -> None:
    registry.blobs.is_blob_host_offered = lambda request: True
    asked = replace(door, user_agent=user_agent, method=method)
    manifest = await answered(registry, asked)
    head = await answered(registry, replace(asked, method="HEAD", target=BLOB))
    for answer in (manifest, head):
        assert answer.status == 200
        assert "Location" not in answer.fields


async def test_plain_delivery_redirects_every_client(registry: Registry, blobs: BlobRoutes) -> None:
    blobs.policy = DeliveryPolicy((0, 35, 2), urls=Urls.PLAIN)
    await answered(registry, BY_HTTPS)
    answer = await answered(registry, replace(BY_HTTPS, target=BLOB, user_agent=OLLAMA_NEW))
    assert answer.status == 307


@pytest.mark.parametrize("agent", [OLLAMA, OLLAMA_NEW])
async def test_in_the_clear_a_blob_is_a_redirect_to_another_name(
    registry: Registry, agent: str
) -> None:
    request = replace(IN_THE_CLEAR, target=BLOB, user_agent=agent)
    answer = await answered(registry, request)
    assert answer.status == 307
    assert answer.fields["Location"].startswith(f"http://192.168.1.5/blobs/{DIGEST}?")


@pytest.mark.parametrize("agent", [OLLAMA, OLLAMA_NEW])
async def test_a_client_that_names_the_box_by_its_address_gets_a_location_and_no_redirect(
    registry: Registry, agent: str
) -> None:
    answer = await answered(registry, replace(BY_ADDRESS, target=BLOB, user_agent=agent))
    assert (answer.status, answer.content) == (200, b"")
    location = answer.fields["Location"]
    assert location.startswith(f"http://192.168.1.5:8080/blobs/{DIGEST}?")
    assert await body_of(await registry.answer(granted(location))) == CONTENT


@pytest.mark.parametrize("request_", [IN_THE_CLEAR, BY_ADDRESS])
async def test_in_the_clear_other_tools_get_the_bytes(
    registry: Registry, request_: Request
) -> None:
    reply = await registry.answer(replace(request_, target=BLOB, user_agent=CURL))
    assert isinstance(reply, BlobAnswer)
    assert reply.status == 200
    assert await body_of(reply) == CONTENT


@pytest.mark.parametrize("agent", ["ollama/0.3.12 (x)", "ollama/0.0.0 (x)", "ollama-transfer/1.0"])
async def test_an_ollama_that_reads_the_whole_body_gets_it_with_a_location(
    registry: Registry, agent: str
) -> None:
    reply = await registry.answer(replace(BY_ADDRESS, target=BLOB, user_agent=agent))
    assert isinstance(reply, BlobAnswer)
    location = reply.fields["Location"]
    assert location.startswith(f"http://192.168.1.5:8080/blobs/{DIGEST}?")
    assert await body_of(reply) == CONTENT


@pytest.mark.parametrize("agent", [CURL, "Go-http-client/1.1", "ollama/0.3.0 (amd64 linux)"])
async def test_in_the_clear_a_range_is_answered_here(registry: Registry, agent: str) -> None:
    request = replace(IN_THE_CLEAR, target=BLOB, user_agent=agent, range_field="bytes=10-19")
    reply = await registry.answer(request)
    assert isinstance(reply, BlobAnswer)
    assert reply.status == 206
    assert await body_of(reply) == CONTENT[10:20]


async def test_a_range_past_the_end_is_a_416(registry: Registry) -> None:
    request = replace(IN_THE_CLEAR, target=BLOB, range_field=f"bytes={SIZE}-")
    answer = await answered(registry, request)
    assert (answer.status, answer.fields["Content-Range"]) == (416, f"bytes */{SIZE}")


async def test_in_the_clear_authorization_opens_nothing_more(
    registry: Registry, source: FakeSource
) -> None:
    del source.blobs[DIGEST]
    request = replace(
        IN_THE_CLEAR, target=f"/v2/someone/else/blobs/{DIGEST}", has_authorization=True
    )
    head = await answered(registry, replace(request, method="HEAD"))
    assert head.status == 404


async def test_a_blob_is_not_served_under_a_repository_that_does_not_list_it(
    registry: Registry, source: FakeSource
) -> None:
    """Whoever knows a digest has no right to its bytes: the origin says, asked for nobody."""
    await answered(registry, BY_HTTPS)
    await pull(registry.cache)
    del source.blobs[DIGEST]
    elsewhere = f"/v2/someone/else/blobs/{DIGEST}"
    for change in ({"user_agent": CURL}, {"range_field": "bytes=0-9"}, {"method": "HEAD"}):
        asked = replace(IN_THE_CLEAR, target=elsewhere, **change)  # type: ignore[arg-type]
        assert (await answered(registry, asked)).status == 404
    redirect = await answered(registry, replace(IN_THE_CLEAR, target=elsewhere))
    followed = await answered(registry, granted(redirect.fields["Location"]))
    assert followed.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get"])
@pytest.mark.parametrize("target", [MANIFEST, BLOB, f"/blobs/{DIGEST}", "/v2/"])
async def test_in_the_clear_the_box_only_reads(
    registry: Registry, method: str, target: str
) -> None:
    answer = await answered(registry, replace(IN_THE_CLEAR, method=method, target=target))
    assert answer.status == 405
    assert "https" in message_of(answer)


@pytest.mark.parametrize("target", ["/v2/_catalog", "/v2/library/tiny/tags/list", "/v2/a/b/c/d/e"])
async def test_in_the_clear_what_is_no_pull_is_refused(registry: Registry, target: str) -> None:
    answer = await answered(registry, replace(IN_THE_CLEAR, target=target))
    assert answer.status == 405
    assert "https" in message_of(answer)


@pytest.mark.parametrize("door", [BY_HTTPS, IN_THE_CLEAR])
@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v2/library/../../etc/passwd", 400),
        ("/v2/library/tiny/manifests/..", 400),
        ("/v2/library%2ftiny/x/manifests/latest", 400),
        ("/v2//tiny/manifests/latest", 400),
        ("/v2/library/-tiny/manifests/latest", 400),
        ("/v2/library/tiny/manifests/" + "x" * 81, 400),
        ("/v2/library/tiny/blobs/sha256:short", 400),
        ("/v2/library/tiny/manifests/sha256:short", 400),
        ("http://registry.ollama.ai/v2/", 400),
        ("/v2/" + "x" * 9000, 400),
    ],
)
async def test_a_malformed_path_is_a_verdict_in_json(
    registry: Registry, source: FakeSource, door: Request, target: str, status: int
) -> None:
    answer = await answered(registry, replace(door, target=target))
    assert answer.status == status
    assert message_of(answer)
    assert source.asked == []


@pytest.mark.parametrize("door", [BY_HTTPS, BY_PROXY])
async def test_the_blob_host_serves_blobs_under_a_grant(registry: Registry, door: Request) -> None:
    await answered(registry, BY_HTTPS)
    url = urlsplit(registry.blobs.location(door, Delivery.TLS, TINY, DIGEST))
    asked = replace(door, host=BLOB_HOST, target=f"{url.path}?{url.query}")
    assert await body_of(await registry.answer(asked)) == CONTENT
    part = await registry.answer(replace(asked, range_field="bytes=5-9"))
    assert await body_of(part) == CONTENT[5:10]
    head = await answered(registry, replace(asked, method="HEAD"))
    assert head.fields["Content-Length"] == str(SIZE)


@pytest.mark.parametrize("has_authorization", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize("target", ["/", "/v2/", MANIFEST, BLOB, "/token", "/blobs", "//blobs/x"])
async def test_the_blob_host_is_nothing_else(
    registry: Registry, method: str, target: str, has_authorization: bool
) -> None:
    await answered(registry, BY_HTTPS)
    asked = replace(
        BY_HTTPS,
        host=BLOB_HOST,
        method=method,
        target=target,
        has_authorization=has_authorization,
    )
    answer = await answered(registry, asked)
    assert answer.status == 404
    assert message_of(answer)


async def test_the_blob_host_asks_for_a_grant(registry: Registry) -> None:
    await answered(registry, BY_HTTPS)
    asked = replace(BY_HTTPS, host=BLOB_HOST, target=f"/blobs/{DIGEST}?expires=1")
    assert (await answered(registry, asked)).status == 403


async def test_the_registry_s_own_name_serves_a_grant_too(registry: Registry) -> None:
    await answered(registry, BY_HTTPS)
    url = urlsplit(registry.blobs.location(BY_HTTPS, Delivery.LOCATION, TINY, DIGEST))
    asked = replace(BY_HTTPS, target=f"{url.path}?{url.query}", range_field="bytes=-7")
    assert await body_of(await registry.answer(asked)) == CONTENT[-7:]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param(BLOB, 416, id="past the end"),
        pytest.param(f"/blobs/{DIGEST}", 403, id="without a grant"),
        pytest.param("/blobs/sha256:ab", 404, id="no digest"),
        pytest.param(f"/v2/library/other/blobs/{DIGEST}", 503, id="the origin is away"),
    ],
)
async def test_an_error_is_never_taken_for_the_bytes_of_a_part(
    registry: Registry, source: FakeSource, target: str, status: int
) -> None:
    """Ollama looks at no part's status: of a small blob the sentence would have bytes enough."""
    source.is_away = status == 503
    part = replace(IN_THE_CLEAR, target=target, range_field=f"bytes={SIZE}-{SIZE + 20}")
    answer = await answered(registry, part)
    assert (answer.status, answer.content) == (status, b"")
    assert "Content-Type" not in answer.fields
    if status in (403, 404):
        assert message_of(await answered(registry, replace(part, range_field=None)))


async def test_a_grant_that_is_none_is_a_403_in_json(registry: Registry) -> None:
    answer = await answered(registry, replace(IN_THE_CLEAR, target=f"/blobs/{DIGEST}"))
    assert answer.status == 403
    assert "grant" in message_of(answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    door=st.sampled_from(Door),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT"]) | st.text(max_size=8),
    target=st.text(max_size=60) | st.text("/v2ablos:.%-?", max_size=40).map(lambda t: f"/v2/{t}"),
    authorised=st.booleans(),
)
async def test_any_request_gets_a_reply(
    registry: Registry, door: Door, method: str, target: str, *, authorised: bool
) -> None:
    request = replace(
        BY_HTTPS, door=door, method=method, target=target, has_authorization=authorised
    )
    reply = await registry.answer(request)
    assert isinstance(reply, Answer | PassThrough)
    if isinstance(reply, PassThrough):
        assert door is not Door.HTTP


async def test_who_signs_everything_shares_what_is_public(
    registry: Registry, cache: Cache, source: FakeSource
) -> None:
    signed = replace(BY_HTTPS, has_authorization=True, is_signed_by_habit=True)
    assert (await answered(registry, signed)).content == TINY_MANIFEST
    assert cache.is_listed(LATEST.repository, DIGEST)
    assert (await answered(registry, BY_HTTPS)).fields["Cache-Status"] == "ollama-appliance; hit"


@pytest.mark.parametrize("status", [401, 403, 404, 412])
async def test_who_signs_everything_asks_the_origin_for_what_is_not(
    registry: Registry, source: FakeSource, status: int
) -> None:
    source.manifests[LATEST] = Refusal(status, {}, b"no")
    signed = replace(BY_HTTPS, has_authorization=True, is_signed_by_habit=True)
    assert isinstance(await registry.answer(signed), PassThrough)
    assert (await answered(registry, BY_HTTPS)).status == status
    in_the_clear = replace(signed, door=Door.HTTP)
    assert (await answered(registry, in_the_clear)).status == status


async def test_the_box_s_own_model_goes_by_the_plain_door_always(
    registry: Registry, blobs: BlobRoutes, source: FakeSource
) -> None:
    """So that the self-check knows of that door, whoever is sent there."""
    source.publish(BUILTIN, TINY_MANIFEST, CONTENT, b"")
    own = f"/v2/{BUILTIN.repository}"
    await answered(registry, replace(BY_HTTPS, target=f"{own}/manifests/{BUILTIN.target}"))
    asked = replace(BY_HTTPS, target=f"{own}/blobs/{DIGEST}", user_agent="ollama-appliance/0.1.0")
    for urls in Urls:
        blobs.policy = DeliveryPolicy((0, 35, 2), urls=urls)
        assert (await answered(registry, asked)).fields["Location"].startswith("http://")
