"""The emulated client is a fair judge: content with what Ollama accepts, and with nothing less."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.client import Client, DigestMismatchError, Pull, split_name
from appliance.demo.conversation import PullError
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import NEWEST, Habits
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.demo.transfer import BUFFER_SIZE_BYTES
from appliance.protocol.digest import Digest


async def pull(client: Client, name: str = "tiny", *, insecure: bool = False) -> Pull:
    return await asyncio.wait_for(
        asyncio.to_thread(client.pull, name, insecure=insecure), timeout=30
    )


async def test_a_pull_brings_every_blob_and_the_manifest(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert pulled.manifest == model.digest
    assert pulled.received_bytes == outside.ledger.upstream_bytes == model.blob_bytes
    assert client.manifest_path("tiny").read_bytes() == model.manifest
    for blob in model.blobs:
        assert client.blob_path(blob.digest).read_bytes() == blob.path.read_bytes()
    assert not list(client.blob_path(model.digest).parent.glob("*partial*"))


async def test_it_asks_what_ollama_asks_in_that_order(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    await pull(client)
    registry = [(each.method, each.target) for each in outside.ledger.requests(site="registry")]
    blobs = [f"/v2/library/tiny/blobs/{each.digest}" for each in model.blobs]
    asked = [(method, target) for target in blobs for method in ("HEAD", "GET")]
    assert registry == [("GET", "/v2/library/tiny/manifests/latest"), *asked]


async def test_parts_are_bare_ranged_gets(client: Client, outside: Outside) -> None:
    await pull(client)
    parts = outside.ledger.requests(site="cdn")
    assert {each.field("User-Agent") for each in parts} == {"Go-http-client/1.1"}
    assert {name for each in parts for name, _ in each.fields} == {"Host", "User-Agent", "Range"}
    ranges = sorted(each.field("Range") or "" for each in parts[:6])
    starts = (0, 100_000, 150_000, 200_000, 250_000, 50_000)
    assert ranges == sorted(f"bytes={start}-{start + 49_999}" for start in starts)


async def test_a_second_pull_takes_what_is_there(client: Client, outside: Outside) -> None:
    await pull(client)
    before = outside.ledger.upstream_bytes
    again = await pull(client)
    assert outside.ledger.upstream_bytes == before
    assert all(each.was_present for each in again.blobs)


async def test_plain_http_by_a_flag(plain: Outside, tmp_path: Path) -> None:
    client = Client(tmp_path / "client", plain.surroundings)
    assert (await pull(client, insecure=True)).sha256_ok
    host = f"127.0.0.1:{plain.registry.port}"
    assert (await pull(client, f"{host}/library/tiny:1b", insecure=True)).sha256_ok
    assert client.manifest_path(f"{host}/library/tiny:1b").parts[-4] == host


async def test_a_packed_manifest_is_unpacked(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.manners.gzips_manifests = True
    await pull(client)
    assert client.manifest_path("tiny").read_bytes() == model.manifest


async def test_an_empty_blob_is_an_empty_file(
    client: Client, outside: Outside, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "origin", "hollow", [0])
    outside.publish(model)
    assert (await pull(client, "hollow")).sha256_ok
    assert client.blob_path(model.blobs[0].digest).stat().st_size == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"manifest_status": 503}, "^pull model manifest: 503: scripted fault$"),
        ({"manifest_status": 429}, "^pull model manifest: 429: scripted fault$"),
        ({"manifest_status": 404}, "^pull model manifest: file does not exist$"),
        ({"blob_status": 405}, "^405: $"),
        ({"blob_status": 404}, "^file does not exist$"),
        ({"is_portal": True}, "^pull model manifest: invalid character '<' looking for"),
    ],
)
async def test_what_the_registry_refuses_ends_the_pull_at_once(
    client: Client, outside: Outside, fault: dict[str, int], sentence: str
) -> None:
    for name, value in fault.items():
        setattr(outside.faults, name, value)
    with pytest.raises(PullError, match=sentence):
        await pull(client)


async def test_an_old_client_reads_that_it_is_old(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.publish(model, version_min=(0, 99, 0))
    with pytest.raises(PullError, match=r"^pull model manifest: 412: The model you are attempting"):
        await pull(client)


async def test_no_server_no_pull(client: Client, outside: Outside) -> None:
    await outside.registry.go_down()
    sentence = r'^pull model manifest: Get "https://registry.ollama.ai/v2/library/tiny/manifests/'
    with pytest.raises(PullError, match=sentence + r'latest": dial tcp 127.0.0.1:\d+: connect: '):
        await pull(client)


async def test_wrong_bytes_are_found_on_disk_and_deleted(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    blob = model.blobs[0]
    outside.faults.flipped.add(blob.digest)
    sentence = f"^digest mismatch, file must be downloaded again: want {blob.digest}, got sha256:"
    with pytest.raises(DigestMismatchError, match=sentence):
        await pull(client)
    assert not client.blob_path(blob.digest).exists()
    assert not client.manifest_path("tiny").exists()


type Answering = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def replace_blob_answers(outside: Outside, method: str, answer: Answering) -> None:
    """Have `answer` answer this method for blobs; everything else stays as it is."""
    ordinary = outside.registry.answer

    async def choose(request: web.BaseRequest) -> web.StreamResponse:
        chosen = request.method == method and "/blobs/" in request.raw_path
        return await (answer(request) if chosen else ordinary(request))

    outside.registry.answer = choose


def fixed(status: int, **fields: str) -> Answering:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        headers = {name: value.format(path=request.raw_path) for name, value in fields.items()}
        return web.Response(status=status, headers=headers, body=b"short")

    return answer


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


async def test_a_truncated_part_goes_on_where_it_ended(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.faults.body = BodyFault(Break.TRUNCATE, after_bytes=20_000, times=3)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert pulled.blobs[0].retries == 3
    assert outside.ledger.upstream_bytes == model.blob_bytes
    starts = [
        int((each.field("Range") or "").partition("=")[2].partition("-")[0])
        for each in outside.ledger.requests(site="cdn")
    ]
    assert sum(start % 50_000 == 20_000 for start in starts) == 3


async def test_errors_are_retried_and_then_given_up(client: Client, outside: Outside) -> None:
    outside.faults.cdn_status = 503
    with pytest.raises(PullError, match=r"^max retries exceeded: EOF$"):
        await pull(client)
    tries = Counter(each.field("Range") for each in outside.ledger.requests(site="cdn"))
    assert max(tries.values()) == 6


async def test_an_expired_url_is_not_renewed(client: Client, outside: Outside) -> None:
    outside.presigner.lifetime_seconds = 0
    with pytest.raises(PullError, match=r"^max retries exceeded: EOF$"):
        await pull(client)


async def test_a_reset_throws_the_attempt_away(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.faults.body = BodyFault(Break.RESET, after_bytes=20_000, times=1)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert outside.ledger.upstream_bytes == model.blob_bytes + 20_000
    starts = [each.field("Range") or "" for each in outside.ledger.requests(site="cdn")]
    assert not any(start.startswith("bytes=20000-") for start in starts)


@pytest.mark.parametrize("after_bytes", [0, 20_000])
async def test_a_stall_restarts_the_part_and_is_measured(
    client: Client, outside: Outside, after_bytes: int
) -> None:
    outside.faults.body = BodyFault(Break.STALL, after_bytes, times=1)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert (pulled.blobs[0].stalls, pulled.blobs[0].retries) == (1, 0)
    assert pulled.longest_silence_seconds >= 0.3  # 30 seconds, at pace 100.


async def test_stalls_are_never_given_up(client: Client, outside: Outside) -> None:
    outside.faults.body = BodyFault(Break.STALL, 20_000, times=40)
    assert (await pull(client)).blobs[0].stalls == 40


async def test_the_status_of_a_part_does_not_matter(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    """A whole body where a part was asked for is written as if it were that part."""
    first = model.blobs[0]
    ordinary = outside.cdn.answer

    async def whole(request: web.BaseRequest) -> web.StreamResponse:
        if first.digest.encoded in request.raw_path:
            return web.Response(body=first.path.read_bytes())
        return await ordinary(request)

    outside.cdn.answer = whole
    with pytest.raises(DigestMismatchError, match=str(first.digest)):
        await pull(client)


async def test_a_shifted_content_range_is_not_even_seen(client: Client, outside: Outside) -> None:
    outside.faults.range_shift_bytes = 7
    assert (await pull(client)).sha256_ok


async def test_an_interrupted_pull_goes_on_where_it_was(outside: Outside, tmp_path: Path) -> None:
    outside.publish(write_model(tmp_path / "origin", "larger", [1_200_000]))
    outside.faults.body = BodyFault(Break.STALL, 400_000)
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def note(digest: Digest, here_bytes: int, total_bytes: int) -> None:
        if here_bytes >= 2 * BUFFER_SIZE_BYTES:  # A buffer full in both parts.
            loop.call_soon_threadsafe(begun.set)

    habits = Habits(part_bytes_min=600_000, pace=100, stall_seconds=3600)
    client = Client(tmp_path / "client", outside.surroundings, habits)
    running = asyncio.gather(asyncio.to_thread(client.pull, "larger", progress=note))
    await asyncio.wait_for(begun.wait(), timeout=10)
    client.interrupt()
    with pytest.raises(InterruptedPullError, match="context canceled"):
        await running
    outside.faults.body = None
    interrupted = outside.ledger.count()
    assert (await pull(client, "larger")).sha256_ok
    later = outside.ledger.asked[interrupted:]
    assert [each.method for each in later[:2]] == ["GET", "GET"]  # The size is known: no HEAD.
    starts = sorted(int((each.field("Range") or "")[6:].partition("-")[0]) for each in later[2:4])
    assert BUFFER_SIZE_BYTES <= starts[0] <= 400_000
    assert BUFFER_SIZE_BYTES <= starts[1] - 600_000 <= 400_000


def test_names_may_have_a_host_in_three_parts_only() -> None:
    assert split_name("tiny")[0] == split_name("me/tiny:1b")[0] == "registry.ollama.ai"
    host, reference = split_name("10.0.0.5:8080/library/tiny:1b")
    assert (host, str(reference)) == ("10.0.0.5:8080", "library/tiny:1b")
