"""The emulated client: what it asks, what it keeps, what its user reads."""

import asyncio
from pathlib import Path

import pytest

from appliance.demo.client import Client, split_name
from appliance.demo.conversation import PullError
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import Habits
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.demo.transfer import BUFFER_SIZE_BYTES
from appliance.protocol.digest import Digest
from tests.appliance.demo.conftest import pull


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
