"""The tensor path: every body twice or from elsewhere, the slow asked again, the rest resumed."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import NEWEST, Habits
from appliance.demo.models import TENSOR_TYPE, DemoModel, assemble, blocks, write_blob
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.rates import Line
from appliance.demo.tensors import SLOW_AFTER_BLOBS, USER_AGENT
from appliance.protocol.reference import parse_model_name
from tests.appliance.demo.conftest import fixed, pull, replace_blob_answers
from tests.appliance.demo.tunnels import open_proxy

HABITS = Habits(pace=100)
PUBLIC = "203.0.113.10"


@pytest.fixture
def model(tmp_path: Path) -> DemoModel:
    directory = tmp_path / "origin"
    directory.mkdir()
    return shards(directory, "tiny", [4000] * 12)


def shards(directory: Path, name: str, sizes: list[int]) -> DemoModel:
    layers = [
        write_blob(directory, TENSOR_TYPE, blocks(f"{name} {number}", size_bytes))
        for number, size_bytes in enumerate(sizes)
    ]
    return assemble(parse_model_name(name).repository, ["latest"], layers, None)


@pytest.fixture
def client(tmp_path: Path, outside: Outside) -> Client:
    return Client(tmp_path / "client", outside.surroundings, HABITS)


async def test_blobs_come_whole_from_where_they_are_said_to_be(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert pulled.received_bytes == outside.ledger.upstream_bytes == model.blob_bytes
    for blob in model.blobs:
        assert client.blob_path(blob.digest).read_bytes() == blob.path.read_bytes()
    asked = outside.ledger.requests(containing="/blobs/")
    assert {each.method for each in asked} == {"GET"}
    assert {each.field("User-Agent") for each in asked} == {USER_AGENT}
    assert {each.field("Range") for each in asked} == {None}
    manifest = outside.ledger.requests(containing="/manifests/")
    assert [each.field("User-Agent") for each in manifest] == [HABITS.user_agent]


async def test_where_the_registry_sends_them_itself_they_come_twice(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.manners.sends_blobs_itself = True
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert pulled.received_bytes == outside.ledger.upstream_bytes == 2 * model.blob_bytes


@pytest.mark.parametrize("status", [301, 302, 307])
async def test_three_kinds_of_redirects_are_followed(
    client: Client, outside: Outside, status: int
) -> None:
    redirect_with(outside, status)
    assert (await pull(client)).sha256_ok


@pytest.mark.parametrize("status", [303, 308])
async def test_two_kinds_are_not(client: Client, outside: Outside, status: int) -> None:
    redirect_with(outside, status)
    with pytest.raises(PullError, match=f"^max retries exceeded: status {status}$"):
        await pull(client)


def redirect_with(outside: Outside, status: int) -> None:
    ordinary = outside.registry.answer

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = await ordinary(request)
        if response.status == 307:
            response.set_status(status)
        return response

    outside.registry.answer = answer


async def test_a_loop_on_the_same_host_ends(client: Client, outside: Outside) -> None:
    replace_blob_answers(outside, "GET", fixed(307, Location="{path}"))
    with pytest.raises(PullError, match=r"^max retries exceeded: too many redirects$"):
        await pull(client)


async def test_what_is_there_by_its_size_is_not_fetched(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    await pull(client)
    before = outside.ledger.upstream_bytes
    cut = client.blob_path(model.blobs[0].digest)
    cut.write_bytes(b"too short")
    again = await pull(client)
    assert outside.ledger.upstream_bytes == before + model.blobs[0].size_bytes
    assert sum(each.was_present for each in again.blobs) == len(model.blobs) - 1


async def test_wrong_bytes_are_asked_for_again_and_then_given_up(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.faults.flipped.add(model.blobs[3].digest)
    with pytest.raises(PullError, match=f"digest mismatch: want {model.blobs[3].digest}"):
        await pull(client)
    assert outside.ledger.blob_bytes[model.blobs[3].digest] == 6 * model.blobs[3].size_bytes


async def test_much_of_a_tensor_is_kept_and_the_rest_asked_for(
    outside: Outside, tmp_path: Path
) -> None:
    model = shards(tmp_path / "origin", "large", [900_000])
    outside.publish(model)
    outside.faults.body = BodyFault(Break.TRUNCATE, after_bytes=600_000, times=1)
    habits = replace(HABITS, resumed_from_bytes=500_000)
    client = Client(tmp_path / "client", outside.surroundings, habits)
    assert (await pull(client, "large")).sha256_ok
    assert outside.ledger.upstream_bytes == model.blob_bytes
    ranges = [each.field("Range") for each in outside.ledger.requests(site="cdn")]
    assert ranges == [None, "bytes=600000-"]


async def test_little_of_it_is_thrown_away(client: Client, outside: Outside) -> None:
    outside.faults.body = BodyFault(Break.TRUNCATE, after_bytes=3000, times=1)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert sum(each.retries for each in pulled.blobs) == 1
    assert {each.field("Range") for each in outside.ledger.requests(site="cdn")} == {None}


async def test_the_newest_end_a_silence_of_ten_seconds(outside: Outside, tmp_path: Path) -> None:
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    surroundings = replace(outside.surroundings, routes={PUBLIC: outside.cdn.address})
    outside.faults.body = BodyFault(Break.STALL, after_bytes=1000, times=1)
    client = Client(tmp_path / "client", surroundings, replace(NEWEST, pace=100))
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert sum(each.stalls for each in pulled.blobs) == 1


async def test_a_body_slower_than_a_tenth_of_the_others_is_dropped(
    outside: Outside, tmp_path: Path
) -> None:
    """Three times for nothing, then it counts: nine requests in all, and the pull ends."""
    model = shards(tmp_path / "origin", "mixed", [400_000] * SLOW_AFTER_BLOBS + [900_000])
    outside.publish(model)
    slow = model.blobs[-1]
    ordinary, line = outside.cdn.answer, Line(None, 10_000)

    async def crawl(request: web.BaseRequest) -> web.StreamResponse:
        if slow.digest.encoded not in request.raw_path:
            return await ordinary(request)
        response = web.StreamResponse(headers={"Content-Length": str(slow.size_bytes)})
        await response.prepare(request)
        transfer = line.open_transfer()
        for _ in range(0, slow.size_bytes, 100):
            await transfer.wait(100)
            await response.write(bytes(100))
        return response

    outside.cdn.answer = crawl
    habits = replace(HABITS, bodies_at_once=2, slow_after_seconds=0.05)  # Others get past it.
    with pytest.raises(PullError, match=r"^max retries exceeded: download too slow$"):
        await pull(Client(tmp_path / "client", outside.surroundings, habits), "mixed")
    assert outside.ledger.count("GET", slow.digest.encoded, "cdn") == 9


async def test_no_more_bodies_at_once_than_the_release_takes(
    outside: Outside, tmp_path: Path
) -> None:
    running, most = 0, 0
    ordinary = outside.cdn.answer

    async def count(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await ordinary(request)
        finally:
            running -= 1

    outside.cdn.answer = count
    await pull(Client(tmp_path / "client", outside.surroundings, HABITS))
    assert 1 <= most <= HABITS.bodies_at_once


@pytest.mark.parametrize("is_newest", [False, True])
async def test_only_the_newest_fetch_tensors_through_a_proxy(
    outside: Outside, tmp_path: Path, *, is_newest: bool
) -> None:
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    places = {
        "registry.ollama.ai:443": (outside.registry.address, outside.registry.port),
        outside.cdn.authority: (outside.cdn.address, outside.cdn.port),
    }
    async with open_proxy(places) as proxy:
        surroundings = replace(
            outside.surroundings,
            https_proxy=("127.0.0.1", proxy.port),
            routes={PUBLIC: outside.cdn.address},
        )
        habits = replace(NEWEST if is_newest else HABITS, pace=100)
        assert (await pull(Client(tmp_path / "client", surroundings, habits))).sha256_ok
    assert set(proxy.asked) == (set(places) if is_newest else {"registry.ollama.ai:443"})
