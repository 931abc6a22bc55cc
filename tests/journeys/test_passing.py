"""What is no pull of a public model: pushes, tokens, private models, chunksums, large bodies."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.demo.box import BoxProcess
from appliance.demo.client import REGISTRY_NAME, Client
from appliance.demo.conversation import Identity, PullError
from appliance.demo.credentials import ClientKey
from appliance.demo.models import DemoBlob, write_model
from appliance.demo.push import UPLOAD_STATE
from appliance.protocol.chunksums import Chunk, parse_chunksums
from appliance.protocol.digest import digest_of
from tests.journeys.calling import Caller, forget_the_peak, memory_bytes
from tests.journeys.conftest import HABITS, Scene, open_scene, run
from tests.journeys.test_tools import curl, docker_registry

pytestmark = pytest.mark.journey

MIB = 1 << 20
# 1024 is what Ollama's largest part comes to; it takes ten seconds or so on a small machine.
BODY_MIB = int(os.environ.get("PASSING_BODY_MIB", "256"))
GROWTH_BYTES_MAX = 24 * MIB  # Buffers of two sockets and of TLS, and what the allocator keeps.
SOCKETS_BYTES_MAX = 32 * MIB  # What four sockets' buffers may hold of a body nobody reads.
MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def zeros(size_bytes: int) -> Iterator[bytes]:
    piece = bytes(256 * 1024)
    for start in range(0, size_bytes, len(piece)):
        yield piece[: size_bytes - start]


def allowed(scene: Scene) -> ClientKey:
    """A user whom the registry gives tokens."""
    key = ClientKey()
    scene.stage.outside.tokens.keys_allowed.add(key.public_key)
    return key


async def test_a_push_goes_step_by_step_to_the_registry_and_its_parts_elsewhere(
    home: Path,
) -> None:
    async with open_scene(home) as scene:
        outside = scene.stage.outside
        pusher = Caller(scene.stage.box, allowed(scene))
        digest = digest_of(b"new")
        base = "/v2/someone/own"
        assert (await pusher.ask("HEAD", f"{base}/blobs/{digest}")).status == 404
        begun = await pusher.ask("POST", f"{base}/blobs/uploads/?mount=a&from=b%2fc")
        upload = begun.fields["Location"].removeprefix(f"https://{REGISTRY_NAME}")
        assert (begun.status, upload) == (202, f"{base}/blobs/uploads/1?{UPLOAD_STATE}")
        part = await pusher.ask(
            "PATCH", upload, b"new", X_Redirect_Uploads="1", Content_Range="0-2"
        )
        assert part.status == 307
        assert part.fields["Location"].startswith(outside.cdn.url)
        assert part.fields["Location"].endswith(UPLOAD_STATE)
        ended = await pusher.ask("PUT", f"{upload}&digest={digest}&etag=a-1", b"")
        named = await pusher.ask("PUT", f"{base}/manifests/1b", b"{}", Content_Type=MANIFEST_TYPE)
        assert (ended.status, named.status) == (201, 201)
        patch, end = outside.ledger.requests("PATCH")[-1], outside.ledger.requests("PUT")[-2]
        assert (patch.target, patch.body_bytes) == (upload, 3)
        assert patch.field("X-Redirect-Uploads") == "1"
        assert patch.field("Content-Range") == "0-2"
        assert end.target == f"{upload}&digest={digest}&etag=a-1"


async def test_a_large_part_passes_in_little_memory(home: Path) -> None:
    async with open_scene(home) as scene:
        pusher, box = Caller(scene.stage.box, allowed(scene)), scene.stage.box
        await pusher.ask("POST", "/v2/someone/own/blobs/uploads/")
        before_bytes = memory_bytes(box.pid, name="VmRSS")
        forget_the_peak(box.pid)
        size_bytes = BODY_MIB * MIB
        sized = {"Content_Length": str(size_bytes)}
        target = "/v2/someone/own/blobs/uploads/1"
        reply = await pusher.ask("PATCH", target, zeros(size_bytes), **sized)
        assert reply.status == 202
        assert scene.stage.outside.ledger.requests("PATCH")[-1].body_bytes == size_bytes
        growth_bytes = memory_bytes(box.pid) - before_bytes
        assert growth_bytes < GROWTH_BYTES_MAX, f"{growth_bytes / MIB:.1f} MiB"


async def test_a_private_blob_waits_for_its_reader_at_the_origin(home: Path) -> None:
    """The registry sends the blob itself, and the client reads none of it for a while."""
    async with open_scene(home) as scene:
        outside, box = scene.stage.outside, scene.stage.box
        model = await asyncio.to_thread(write_model, home, "someone/own:1b", [96 * MIB])
        outside.publish(model, is_private=True)
        outside.manners.sends_blobs_itself = True
        reader = Caller(box, allowed(scene))
        target = f"/v2/{model.repository}"
        assert (await reader.ask("GET", f"{target}/manifests/1b")).body == model.manifest
        before_bytes = memory_bytes(box.pid, name="VmRSS")
        forget_the_peak(box.pid)
        weights = model.blobs[0]
        async with reader.asking("GET", f"{target}/blobs/{weights.digest}") as response:
            await rest(lambda: outside.ledger.upstream_bytes)
            assert outside.ledger.upstream_bytes < SOCKETS_BYTES_MAX
            assert memory_bytes(box.pid) - before_bytes < GROWTH_BYTES_MAX
            content = await asyncio.to_thread(response.read)
        assert digest_of(content) == weights.digest
        assert memory_bytes(box.pid) - before_bytes < GROWTH_BYTES_MAX


async def rest(count: Callable[[], int]) -> None:
    """Wait until a count that grew does so no more."""
    last = -1
    while last != count() or last == 0:
        last = count()
        await asyncio.sleep(0.3)


async def test_a_private_model_is_its_owners_until_it_is_everybodys(home: Path) -> None:
    async with open_scene(home) as scene:
        outside = scene.stage.outside
        model = await asyncio.to_thread(write_model, home, "someone/own:1b", [300_000])
        outside.publish(model, is_private=True)
        owner = of_both_worlds(scene, "owner", allowed(scene))
        stranger = of_both_worlds(scene, "stranger", ClientKey())
        pull = await asyncio.to_thread(owner.pull, "someone/own:1b")
        assert pull.manifest == model.digest
        await nothing_of_it_is_shared(scene, model.blobs[0], model.repository)
        with pytest.raises(PullError, match="unauthorized"):
            await asyncio.to_thread(stranger.pull, "someone/own:1b")
        outside.publish(model)
        shared = await asyncio.to_thread(stranger.pull, "someone/own:1b")
        assert shared.manifest == model.digest
        held = await scene.ask("/api/models")
        assert "someone/own" in json.dumps(held)
        sent_bytes = scene.upstream_bytes
        third = scene.stage.client("third", HABITS)
        assert (await asyncio.to_thread(third.pull, "someone/own:1b")).sha256_ok
        assert scene.upstream_bytes == sent_bytes


def of_both_worlds(scene: Scene, name: str, key: ClientKey) -> Client:
    """A user whose machine trusts the box's CA beside the Internet's."""
    box, roots = scene.stage.box, scene.stage.directory / "roots.pem"
    roots.write_bytes(box.ca_file.read_bytes() + scene.stage.outside.ca_file.read_bytes())
    surroundings = replace(box.surroundings, ca_file=roots)
    return Client(scene.stage.directory / name, surroundings, HABITS, Identity(key, time.time))


async def nothing_of_it_is_shared(scene: Scene, blob: DemoBlob, repository: object) -> None:
    """Nobody else gets it, by no way and under no other model's name."""
    stranger, box = Caller(scene.stage.box), scene.stage.box
    manifest, digest = f"/v2/{repository}/manifests/1b", blob.digest
    refused = await stranger.ask("GET", manifest)
    assert refused.status == 401
    assert refused.fields["WWW-Authenticate"].startswith("Bearer realm=")
    for target in (
        f"/v2/{repository}/blobs/{digest}",
        f"/v2/{repository}/chunksums/{digest}",
        f"/v2/library/tiny/blobs/{digest}",
        f"/blobs/{digest}",
    ):
        assert (await stranger.ask("GET", target)).status in (401, 404)
        reply = await run(
            "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"{box.web_url}{target}"
        )
        assert reply.out in (b"401", b"403", b"404", b"405"), target
    assert not list(box.state_directory.rglob(f"*{digest.encoded}*"))


async def test_chunksums_lead_to_ranges_of_the_box(home: Path) -> None:
    async with open_scene(home) as scene:
        signing = Caller(scene.stage.box, token="aHR0cHM6Ly9vbGxhbWEuY29t:AAAAC3Nz:c2ln+/==")
        weights, agent = scene.weights, "ollama/v0.30.0 (amd64 linux) Go/go1.26"
        manifest = await signing.ask("GET", "/v2/library/tiny/manifests/1b", User_Agent=agent)
        assert manifest.body == scene.model.manifest
        target = f"/v2/library/tiny/chunksums/{weights.digest}"
        told = await signing.ask("GET", target, User_Agent=agent)
        chunks = parse_chunksums(told.body, weights.size_bytes)
        assert len(chunks) > 1
        assert told.fields["Content-Location"] == (
            f"https://{REGISTRY_NAME}/v2/library/tiny/blobs/{weights.digest}"
        )
        for chunk in chunks:
            await fetch(scene, told.fields["Content-Location"], chunk, agent)
        held = await scene.stats_once_served(weights.size_bytes)
        assert held["served_bytes"] >= weights.size_bytes
        await scene.stage.outside.registry.go_down()
        alone = await signing.ask("GET", target, User_Agent=agent)
        (whole,) = parse_chunksums(alone.body, weights.size_bytes)
        assert whole.digest == weights.digest
        await fetch(scene, alone.fields["Content-Location"], whole, agent)


async def fetch(scene: Scene, url: str, chunk: Chunk, agent: str) -> None:
    """Fetch a chunk as that client does: by range, following redirects, and hashed."""
    span = f"{chunk.span.start}-{chunk.span.stop - 1}"
    reply = await run(*curl(scene, "-fL", "-A", agent, "-r", span, url))
    assert reply.code == 0, reply.err
    assert digest_of(reply.out) == chunk.digest


async def test_what_is_pushed_through_the_box_can_be_pulled_through_it(
    home: Path, unused_tcp_port: int
) -> None:
    """To Debian's registry, which writes an absolute URL for each upload by its own name."""
    base = f"http://127.0.0.1:{unused_tcp_port}"
    (home / "inner").mkdir()
    async with open_scene(home) as scene, docker_registry(home, unused_tcp_port):
        settings = {"ORIGIN_URL": base}
        async with BoxProcess(home / "inner", scene.stage.outside, settings) as box:
            await push(Caller(box), scene)
            client = Client(home / "client", box.surroundings, HABITS)
            pull = await asyncio.to_thread(client.pull, "tiny:1b")
            assert (pull.manifest, pull.sha256_ok) == (scene.model.digest, True)


async def push(pusher: Caller, scene: Scene) -> None:
    """Push the scene's model in parts, as the OCI specification has it."""
    path = f"/v2/{scene.model.repository}"
    for blob in scene.model.blobs:
        content = await asyncio.to_thread(blob.path.read_bytes)
        assert (await pusher.ask("HEAD", f"{path}/blobs/{blob.digest}")).status == 404
        reply = await pusher.ask("POST", f"{path}/blobs/uploads/", b"")
        for start in range(0, len(content), MIB):
            part = content[start : start + MIB]
            span = f"{start}-{start + len(part) - 1}"
            at = target_of(reply.fields["Location"])
            reply = await pusher.ask("PATCH", at, part, Content_Range=span)
            assert reply.status == 202, reply.body
        at = target_of(reply.fields["Location"])
        ended = await pusher.ask("PUT", f"{at}&digest={blob.digest}", b"")
        assert ended.status == 201, ended.body
    named = await pusher.ask(
        "PUT", f"{path}/manifests/1b", scene.model.manifest, Content_Type=MANIFEST_TYPE
    )
    assert named.status == 201, named.body


def target_of(location: str) -> str:
    """What of an upload's URL is asked of the box: it leads there, or the push ends here."""
    name = f"https://{REGISTRY_NAME}"
    assert location.startswith(f"{name}/"), location
    return location.removeprefix(name)
