"""Real programs against a real box: curl, openssl, dig, skopeo, Debian's docker-registry."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.demo.box import BoxProcess
from appliance.demo.client import Client
from appliance.demo.models import assemble, blocks, write_blob, write_model
from appliance.protocol.digest import digest_of
from appliance.protocol.reference import Repository
from tests.journeys.conftest import HABITS, Scene, open_scene, run
from tests.programs import program

pytestmark = pytest.mark.journey

NAME = "registry.ollama.ai"


def curl(scene: Scene, *words: str) -> tuple[str | Path, ...]:
    """Curl, with the box for its DNS and its only CA."""
    box = scene.stage.box
    return (
        *(program("curl"), "-sS", "--noproxy", "*", "--cacert", box.ca_file),
        *("--connect-to", f"{NAME}:443:127.0.0.1:{box.tls_port}"),
        *words,
    )


def weights_url(scene: Scene) -> str:
    return f"https://{NAME}/v2/{scene.model.repository}/blobs/{scene.weights.digest}"


async def warm(scene: Scene) -> bytes:
    """Let the box learn the model by a pull; returns the weights' bytes."""
    return (await scene.pull("first")).read_bytes()


async def test_dig_is_led_to_the_box_and_to_nobody_else(home: Path) -> None:
    async with open_scene(home) as scene:
        dig = (program("dig"), "@127.0.0.1", "-p", str(scene.stage.box.dns_port), "+short")
        assert (await run(*dig, NAME, "A")).out == b"127.0.0.1\n"
        assert (await run(*dig, "+tcp", NAME, "A")).out == b"127.0.0.1\n"
        assert (await run(*dig, NAME, "AAAA")).out == b""
        assert (await run(*dig, NAME, "HTTPS")).out == b""
        cdn = scene.stage.outside.cdn
        assert (await run(*dig, cdn.name, "A")).out == f"{cdn.address}\n".encode()


async def test_curl_fetches_a_blob_whole_ranged_and_resumed(home: Path) -> None:
    async with open_scene(home) as scene:
        content, url = await warm(scene), weights_url(scene)
        assert (await run(*curl(scene, "-fL", url))).out == content
        assert (await run(*curl(scene, "-fL", "-r", "1000-1999", url))).out == content[1000:2000]
        assert (await run(*curl(scene, "-fL", "-r", "-500", url))).out == content[-500:]
        partial = home / "partial"
        partial.write_bytes(content[:1_234_567])
        reply = await run(*curl(scene, "-fL", "-C", "-", "-o", str(partial), url))
        assert reply.code == 0, reply.err
        assert partial.read_bytes() == content


async def test_a_range_past_the_end_is_416_and_an_odd_one_the_whole(home: Path) -> None:
    async with open_scene(home) as scene:
        content = await warm(scene)
        url = f"http://127.0.0.1:{scene.stage.box.web_port}/v2/library/tiny/blobs/{scene.weights.digest}"
        code = ("-o", "/dev/null", "-w", "%{http_code} %header{content-range}")
        reply = await run(*curl(scene, *code, "-H", f"Range: bytes={len(content)}-", url))
        assert reply.out == f"416 bytes */{len(content)}".encode()
        assert (await run(*curl(scene, "-H", "Range: bytes=0-1,5-6", url))).out == content


async def test_the_manifest_is_the_origins_to_the_byte(home: Path) -> None:
    async with open_scene(home) as scene:
        url = f"https://{NAME}/v2/library/tiny/manifests/1b"
        for _ in range(2):
            assert (await run(*curl(scene, "-f", url))).out == scene.model.manifest
        head = (await run(*curl(scene, "-fI", url))).out.decode().lower()
        assert f"ollama-content-digest: {scene.model.digest.encoded}" in head
        assert f"content-length: {len(scene.model.manifest)}" in head


async def test_an_unknown_model_is_the_origins_own_404(home: Path) -> None:
    async with open_scene(home) as scene:
        url = f"https://{NAME}/v2/library/nothing/manifests/latest"
        reply = await run(*curl(scene, "-w", "%{http_code}", url))
        assert reply.out.endswith(b"404")
        assert b"MANIFEST_UNKNOWN" in reply.out


async def test_openssl_accepts_the_boxs_chain_for_its_name_and_no_other(home: Path) -> None:
    async with open_scene(home) as scene:
        box = scene.stage.box
        connect = (program("openssl"), "s_client", "-connect", f"127.0.0.1:{box.tls_port}")
        trust = ("-CAfile", box.ca_file, "-verify_return_error")
        good = await run(*connect, *trust, "-servername", NAME, "-verify_hostname", NAME)
        assert good.code == 0, good.err
        assert b"Verify return code: 0 (ok)" in good.out
        asked_before = scene.stage.outside.ledger.count()
        for words in (("-servername", "google.com"), ("-noservername",)):
            refused = await run(*connect, *trust, *words)
            assert refused.code != 0
            assert b"BEGIN CERTIFICATE" not in refused.out
        assert scene.stage.outside.ledger.count() == asked_before


async def test_no_certificate_authority_but_ours_is_ever_on_disk(home: Path) -> None:
    elsewhere = home / "somebody"
    elsewhere.mkdir()
    async with open_scene(home, environment={"HOME": str(elsewhere)}) as scene:
        await warm(scene)
    found = await run("find", home, "-name", "*mitmproxy*", "-o", "-path", f"{elsewhere}/*")
    assert found.out == b""


@asynccontextmanager
async def docker_registry(home: Path, port: int) -> AsyncIterator[None]:
    """Debian's registry on loopback: it answers blobs itself, without a redirect."""
    config = home / "registry.yml"
    config.write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(home / "registry")}},
                "http": {"addr": f"127.0.0.1:{port}"},
            }
        )
    )
    process = await asyncio.create_subprocess_exec(
        program("docker-registry"),
        "serve",
        str(config),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        ready = await run(
            *("curl", "-fsS", "--retry", "50", "--retry-connrefused", "--retry-delay", "0"),
            *("--retry-max-time", "20", f"http://127.0.0.1:{port}/v2/"),
        )
        assert ready.code == 0, ready.err
        yield
    finally:
        process.terminate()
        await process.wait()


async def upload(scene: Scene, base: str) -> None:
    """Push the scene's model to a registry, blob by blob, as its API asks."""
    repository = scene.model.repository
    for blob in scene.model.blobs:
        start = await run(
            "curl", "-fsS", "-X", "POST", "-D", "-", f"{base}/v2/{repository}/blobs/uploads/"
        )
        lines = start.out.decode().splitlines()
        location = next(each[10:] for each in lines if each.lower().startswith("location: "))
        target = f"{location}&digest={blob.digest}"
        put = ("curl", "-fsS", "-X", "PUT", "--data-binary", f"@{blob.path}")
        done = await run(*put, "-H", "Content-Type: application/octet-stream", target)
        assert done.code == 0, done.err
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    done = await run(
        *("curl", "-fsS", "-X", "PUT", "-H", f"Content-Type: {media_type}", "--data-binary", "@-"),
        f"{base}/v2/{repository}/manifests/1b",
        stdin=scene.model.manifest,
    )
    assert done.code == 0, done.err


async def test_docker_registry_is_an_origin_that_answers_blobs_itself(
    home: Path, unused_tcp_port: int
) -> None:
    program("docker-registry")
    base = f"http://127.0.0.1:{unused_tcp_port}"
    (home / "inner").mkdir()
    async with open_scene(home) as scene, docker_registry(home, unused_tcp_port):
        await upload(scene, base)
        settings = {"ORIGIN_URL": base}
        async with BoxProcess(home / "inner", scene.stage.outside, settings) as box:
            client = Client(home / "client", box.surroundings, HABITS)
            pull = await asyncio.to_thread(client.pull, "tiny:1b")
            assert pull.sha256_ok
            assert pull.manifest == scene.model.digest


async def test_skopeo_reads_a_models_manifest_to_the_byte(home: Path) -> None:
    async with open_scene(home) as scene:
        source = f"docker://127.0.0.1:{scene.stage.box.web_port}/library/tiny:1b"
        reply = await run(program("skopeo"), "inspect", "--raw", "--tls-verify=false", source)
        assert reply.out == scene.model.manifest


async def test_skopeo_copies_an_image_out_of_the_box_by_tag_and_by_digest(home: Path) -> None:
    """An image with Docker's media types: skopeo copies no other, an Ollama model least of all."""
    layer_type = "application/vnd.docker.image.rootfs.diff.tar"
    async with open_scene(home) as scene:
        layer = write_blob(home, layer_type, blocks("layer", 700_000))
        config_type = "application/vnd.docker.container.image.v1+json"
        config = write_blob(home, config_type, iter([b'{"rootfs":{"type":"layers"}}']))
        image = assemble(Repository("library", "image"), ["1"], [layer], config)
        scene.stage.outside.publish(image)
        source = f"docker://127.0.0.1:{scene.stage.box.web_port}/library/image"
        copy = (program("skopeo"), "--insecure-policy", "copy", "--src-tls-verify=false")
        for number, which in enumerate((":1", f"@{image.digest}")):
            target = home / f"copy{number}"
            reply = await run(*copy, f"{source}{which}", f"dir:{target}")
            assert reply.code == 0, reply.err
            copied = await asyncio.to_thread((target / layer.digest.encoded).read_bytes)
            assert digest_of(copied) == layer.digest


async def test_a_model_of_many_shapes_of_name_keeps_them(home: Path) -> None:
    async with open_scene(home) as scene:
        model = await asyncio.to_thread(write_model, home, "Some-One/Ti.ny_2:LATEST", [1000])
        scene.stage.outside.publish(model)
        client = scene.stage.client("client", HABITS)
        pull = await asyncio.to_thread(client.pull, "Some-One/Ti.ny_2:LATEST")
        assert pull.manifest == model.digest
