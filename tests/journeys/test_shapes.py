"""Models of every shape: one blob or thirty, shared ones, none that is a config, one of 100 GB."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.demo.client import Client, Pull
from appliance.demo.lifeline import InterruptedPullError
from appliance.demo.models import (
    CONFIG_TYPE,
    LAYER_TYPE_PREFIX,
    MODEL_TYPE,
    TENSOR_TYPE,
    DemoBlob,
    DemoModel,
    assemble,
    blocks,
    write_blob,
)
from appliance.protocol.digest import Digest
from appliance.protocol.manifest import Descriptor
from appliance.protocol.reference import parse_model_name
from tests.journeys.conftest import HABITS, Scene, open_scene, run

pytestmark = pytest.mark.journey

HUGE_BYTES = 100_000_000_000
HUGE_DIGEST = Digest("ab" * 32)  # Nobody hashes it: nobody reads it to its end.


def blob(directory: Path, seed: str, size_bytes: int, kind: str = MODEL_TYPE) -> DemoBlob:
    return write_blob(directory, kind, blocks(seed, size_bytes))


def model(name: str, layers: Sequence[DemoBlob], config: DemoBlob | None, *tags: str) -> DemoModel:
    return assemble(parse_model_name(name).repository, tags or ["latest"], layers, config)


def one_blob(home: Path) -> DemoModel:
    return model("one", [blob(home, "one", 500_000)], None)


def thirty_small_ones(home: Path) -> DemoModel:
    layers = [blob(home, f"small {number}", 20 + number) for number in range(30)]
    return model("thirty", layers, blob(home, "config", 400, CONFIG_TYPE))


def listed_twice(home: Path) -> DemoModel:
    layer = blob(home, "twice", 300_000)
    return model("twice", [layer, layer], layer)


def with_an_empty_blob(home: Path) -> DemoModel:
    empty = write_blob(home, LAYER_TYPE_PREFIX + "system", iter([]))
    return model("hollow", [blob(home, "hollow", 250_000), empty], None)


def of_tensors(home: Path) -> DemoModel:
    layers = [blob(home, f"tensor {number}", 3000, TENSOR_TYPE) for number in range(100)]
    return model("tensors", layers, blob(home, "tensors", 600, CONFIG_TYPE))


SHAPES = [one_blob, thirty_small_ones, listed_twice, with_an_empty_blob, of_tensors]


async def test_every_shape_crosses_the_internet_once(home: Path) -> None:
    async with open_scene(home) as scene:
        for make in SHAPES:
            shape = await asyncio.to_thread(make, home)
            scene.stage.outside.publish(shape)
            before = scene.upstream_bytes
            for machine in ("cold", "warm"):
                client = scene.stage.client(f"{machine}-{shape.repository.model}", HABITS)
                pulled = await pull(client, shape)
                assert pulled.manifest == shape.digest, make.__name__
                for each in shape.blobs:
                    assert client.blob_path(each.digest).stat().st_size == each.size_bytes
                assert scene.upstream_bytes == before + shape.blob_bytes, make.__name__
        held = {each["name"]: each["complete"] for each in await scene.ask("/api/models")}
        assert held == dict.fromkeys(("one", "thirty", "twice", "hollow", "tensors"), True)


async def pull(client: Client, shape: DemoModel, tag: str = "latest") -> Pull:
    name = f"{shape.repository.model}:{tag}"
    pulled = await asyncio.to_thread(client.pull, name)
    assert pulled.sha256_ok
    return pulled


async def test_what_tags_and_models_share_crosses_once_also_when_all_ask_at_once(
    home: Path,
) -> None:
    weights = await asyncio.to_thread(blob, home, "shared", 1_000_000)
    own = [await asyncio.to_thread(blob, home, f"own {number}", 500) for number in range(3)]
    first = model("family", [weights, own[0]], None, "7b", "latest")
    second = model("family", [weights, own[1]], None, "7b-chat")
    other = model("cousin", [weights, own[2]], None)
    async with open_scene(home) as scene:
        for each in (first, second, other):
            scene.stage.outside.publish(each)
        asked = [(first, "7b"), (first, "latest"), (second, "7b-chat"), (other, "latest")]
        async with asyncio.TaskGroup() as group:
            for shape, tag in asked:
                client = scene.stage.client(f"{shape.repository.model}-{tag}", HABITS)
                group.create_task(pull(client, shape, tag))
        assert scene.upstream_bytes == weights.size_bytes + 3 * 500
        stats = await scene.ask("/cache/stats")
        assert stats["blob_count"] == 4


async def test_capitals_in_a_manifests_digests_are_served_as_they_are_and_found(
    home: Path,
) -> None:
    """Ollama itself finds no such blob right; what asks by another spelling gets the blob."""
    layer = await asyncio.to_thread(blob, home, "capitals", 300_000)
    plain = model("capitals", [layer], None)
    spelled = f"sha256:{layer.digest.encoded.upper()}"
    manifest = plain.manifest.replace(str(layer.digest).encode(), spelled.encode())
    async with open_scene(home) as scene:
        shape = DemoModel(plain.repository, plain.tags, manifest, plain.blobs)
        scene.stage.outside.publish(shape)
        base = f"{scene.stage.box.web_url}/v2/library/capitals"
        assert (await run("curl", "-fsS", f"{base}/manifests/latest")).out == manifest
        for digest in (spelled, spelled.replace(":", "%3A"), str(layer.digest)):
            reply = await run("curl", "-fsSL", f"{base}/blobs/{digest}")
            assert reply.out == layer.path.read_bytes(), reply.err
        assert scene.upstream_bytes == layer.size_bytes


@pytest.fixture
def huge(home: Path) -> DemoModel:
    path = home / HUGE_DIGEST.encoded
    with path.open("wb") as file:
        file.truncate(HUGE_BYTES)
        os.pwrite(file.fileno(), b"the end", HUGE_BYTES - 7)
    layer = DemoBlob(Descriptor(MODEL_TYPE, HUGE_DIGEST, HUGE_BYTES), path)
    return model("huge", [layer], None)


@asynccontextmanager
async def open_huge(home: Path, huge: DemoModel) -> AsyncIterator[Scene]:
    """A scene whose disk is too small for it, whatever this machine has: nothing is kept."""
    async with open_scene(home, settings={"CACHE_MIN_FREE": "1000TiB"}) as scene:
        scene.stage.outside.publish(huge)
        url = f"{scene.stage.box.web_url}/v2/library/huge/manifests/latest"
        assert (await run("curl", "-fsS", url)).out == huge.manifest
        yield scene


async def test_a_blob_of_a_hundred_gigabytes_has_its_size_and_its_ranges(
    home: Path, huge: DemoModel
) -> None:
    async with open_huge(home, huge) as scene:
        url = f"{scene.stage.box.web_url}/v2/library/huge/blobs/{HUGE_DIGEST}"
        assert field(await head(url), "content-length") == str(HUGE_BYTES)
        last = f"{HUGE_BYTES - 7}-{HUGE_BYTES - 1}"
        reply = await run("curl", "-fsSL", "-D", home / "fields", "-r", last, url)
        assert reply.out == b"the end"
        assert f"bytes {last}/{HUGE_BYTES}" in (home / "fields").read_text()
        beyond = await run(
            *("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-r", f"{HUGE_BYTES}-", url)
        )
        assert beyond.out == b"416"
        (listed,) = await scene.ask("/api/models")
        assert (listed["size"], listed["complete"]) == (HUGE_BYTES, False)


async def test_ollama_plans_it_in_a_hundred_parts_and_may_be_interrupted(
    home: Path, huge: DemoModel
) -> None:
    async with open_huge(home, huge) as scene:
        client = scene.stage.client("client")

        def progress(_: Digest, here_bytes: int, total_bytes: int) -> None:
            assert total_bytes == HUGE_BYTES
            if here_bytes:
                client.interrupt()

        with pytest.raises(InterruptedPullError):
            await asyncio.to_thread(client.pull, "huge", progress=progress)
        files = sorted(client.blob_path(HUGE_DIGEST).parent.glob("*-partial-*"))
        parts = [json.loads(each.read_text()) for each in files]
        assert len(parts) == 100
        assert {each["Size"] for each in parts} == {1_000_000_000}
        assert any(each["Completed"] for each in parts)


async def head(url: str) -> str:
    reply = await run("curl", "-fsSI", url)
    assert reply.code == 0, reply.err
    return reply.out.decode()


def field(head: str, name: str) -> str:
    fields = dict(line.lower().split(": ", 1) for line in head.splitlines() if ": " in line)
    return fields[name]
