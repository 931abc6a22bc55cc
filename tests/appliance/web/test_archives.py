"""Models as tar files over real sockets, and manifests as they came."""

import io
import json
import tarfile

import pytest

from appliance.protocol.digest import digest_of
from appliance.store.layout import Layout
from tests.appliance.web.conftest import Door
from tests.fakes.registry import CHUNK_BYTES

LARGE = bytes(range(256)) * (CHUNK_BYTES // 256) * 5 + b"odd"
SMALL = b"a template"
TAR = "/models/tiny:latest"


async def hold(door: Door, name: str = "tiny") -> bytes:
    """Have a model held whole; its manifest."""
    digest = door.shop.source.publish(name, LARGE, SMALL)
    body = json.dumps({"model": name, "stream": False}).encode()
    assert (await door.post("/api/pull", body)).status == 200
    content = await door.shop.cache.contents.read_manifest(digest)
    assert content is not None
    return content


def unpack(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = [(each.name, tar.extractfile(each)) for each in tar.getmembers()]
        return {name: file.read() for name, file in files if file is not None}


async def test_a_model_unpacks_into_ollama_s_own_layout(door: Door) -> None:
    manifest = await hold(door)
    answer = await door.ask(TAR)
    assert (answer.status, answer.fields["Content-Type"]) == (200, "application/x-tar")
    assert int(answer.fields["Content-Length"]) == len(answer.body)
    assert unpack(answer.body) == {
        f"blobs/sha256-{digest_of(LARGE).encoded}": LARGE,
        f"blobs/sha256-{digest_of(SMALL).encoded}": SMALL,
        "manifests/registry.ollama.ai/library/tiny/latest": manifest,
    }
    assert list(unpack(answer.body))[-1].startswith("manifests/")
    assert (await door.ask(TAR)).body == answer.body


async def test_a_model_of_somebody_s_has_its_namespace(door: Door) -> None:
    await hold(door, "someone/tiny:1b")
    (model,) = await door.document("/api/models")
    assert model["download_url"].endswith("/models/someone/tiny:1b")
    answer = await door.ask("/models/someone/tiny:1b")
    assert "manifests/registry.ollama.ai/someone/tiny/1b" in unpack(answer.body)


async def test_any_range_is_that_part_of_the_whole(door: Door) -> None:
    await hold(door)
    whole = (await door.ask(TAR)).body
    middle, size = len(whole) // 2, len(whole)
    for first, last in ((0, 0), (500, 700), (middle, size - 1), (0, size - 1), (size - 9, size)):
        answer = await door.ask(TAR, f"Range: bytes={first}-{last}")
        assert answer.status == 206
        assert answer.body == whole[first : last + 1]
        last = min(last, size - 1)
        assert answer.fields["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert (await door.ask(TAR, f"Range: bytes={size}-")).status == 416


async def test_a_range_of_an_archive_that_is_another_by_now_is_the_whole(door: Door) -> None:
    await hold(door)
    whole = await door.ask(TAR)
    same = await door.ask(TAR, "Range: bytes=0-9", f"If-Range: {whole.fields['Etag']}")
    other = await door.ask(TAR, "Range: bytes=0-9", 'If-Range: "another"')
    assert (same.status, same.body) == (206, whole.body[:10])
    assert (other.status, other.body) == (200, whole.body)


async def test_a_head_tells_the_size_and_sends_nothing(door: Door) -> None:
    await hold(door)
    size = (await door.ask(TAR)).fields["Content-Length"]
    async with door.dial() as wire:
        answer = await wire.ask(f"HEAD {TAR} HTTP/1.1\r\nHost: box\r\n\r\n".encode())
        assert (answer.status, answer.fields["Content-Length"]) == (200, size)
        again = await wire.ask(f"GET {TAR} HTTP/1.1\r\nHost: box\r\n\r\n".encode())
        assert str(len(again.body)) == size
        after = await wire.ask(b"GET /health/live HTTP/1.1\r\nHost: box\r\n\r\n")
        assert after.body == b"OK\n"  # On the same connection, past a body that a pump sent.


async def test_a_model_of_which_something_is_missing_is_409_and_says_how_to_go_on(
    door: Door,
) -> None:
    door.shop.source.publish("tiny", LARGE)
    assert (await door.ask("/v2/library/tiny/manifests/latest")).status == 200
    answer = await door.ask(TAR)
    assert answer.status == 409
    told = json.loads(answer.body)
    assert told["error"] == f"0 of {len(LARGE)} bytes are here"
    assert told["hint"].endswith("ollama pull tiny")


async def test_a_blob_lost_on_the_way_cuts_the_body_short(door: Door) -> None:
    await hold(door)
    door.shop.source.is_away, door.shop.min_free_bytes[0] = True, 2**62
    Layout(door.shop.store.root).blob(digest_of(LARGE)).unlink()
    answer = await door.ask(TAR)
    assert answer.is_cut


@pytest.mark.parametrize("name", ["absent:latest", "a b:latest", "-x:1", "a/b/c:1", "tiny"])
async def test_what_is_not_held_is_not_found(door: Door, name: str) -> None:
    await hold(door)
    assert (await door.ask(f"/models/{name.replace(' ', '%20')}")).status == 404


async def test_a_manifest_comes_as_the_registry_sent_it(door: Door) -> None:
    manifest = await hold(door)
    answer = await door.ask("/manifests/library/tiny/latest")
    assert answer.body == manifest
    assert answer.fields["Docker-Content-Digest"] == str(digest_of(manifest))
    assert answer.fields["Content-Type"].startswith("application/vnd.docker.distribution.manifest")
    assert (await door.ask("/manifests/library/absent/latest")).status == 404


async def test_a_download_is_seen_as_a_pull(door: Door) -> None:
    await hold(door)
    await door.ask(TAR)
    told = await door.document("/api/sessions")
    sessions = told["active_sessions"] + told["recent_sessions"]
    assert [each["model"] for each in sessions] == ["tiny:latest"]
