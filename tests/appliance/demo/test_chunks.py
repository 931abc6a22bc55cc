"""client2: chunks that cover a blob, each with a digest, from wherever the registry says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from appliance.demo.chunks import Chunk, make_token, parse_chunksums
from appliance.demo.client import Client
from appliance.demo.conversation import Identity, PullError
from appliance.demo.credentials import ClientKey, is_signed
from appliance.demo.habits import CLIENT2
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.outside import Outside
from appliance.protocol.digest import digest_of
from tests.appliance.demo.conftest import pull

CHUNK_BYTES = 70_000
HABITS = replace(CLIENT2, chunked_from_bytes=100_000, pace=100)


@pytest.fixture
def identity() -> Identity:
    return Identity(ClientKey(), now=lambda: 1e9)


@pytest.fixture
def client(tmp_path: Path, outside: Outside, identity: Identity) -> Client:
    return Client(tmp_path / "client", outside.surroundings, HABITS, identity)


def offer_chunksums(outside: Outside, blob: DemoBlob, *, flip: bool = False) -> None:
    """Have the registry name the chunks of `blob`, at its own blob URL."""
    ordinary = outside.registry.answer
    content = blob.path.read_bytes()
    words = []
    for start in range(0, len(content), CHUNK_BYTES):
        piece = content[start : start + CHUNK_BYTES]
        said = digest_of(piece + b"!" if flip else piece)
        words.append(f"{said} {start}-{start + len(piece) - 1}\n")

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if "/chunksums/" not in request.raw_path:
            return await ordinary(request)
        location = request.raw_path.replace("/chunksums/", "/blobs/")
        return web.Response(text="".join(words), headers={"Content-Location": location})

    outside.registry.answer = answer


async def test_a_large_blob_comes_in_chunks_and_small_ones_whole(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    offer_chunksums(outside, model.blobs[0])
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert outside.ledger.upstream_bytes == model.blob_bytes
    assert [each.parts for each in pulled.blobs] == [5, 1, 1, 1, 1]
    assert client.blob_path(model.blobs[0].digest).read_bytes() == model.blobs[0].path.read_bytes()
    assert outside.ledger.count("HEAD") == 0
    bodies = outside.ledger.requests(containing="/blobs/")
    assert {each.field("User-Agent") for each in bodies} == {"Go-http-client/1.1"}
    assert {each.field("Authorization") for each in bodies} == {None}
    assert None not in {each.field("Range") for each in bodies}


async def test_the_registry_is_asked_with_a_signed_token_every_time(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    offer_chunksums(outside, model.blobs[0])
    await pull(client)
    asked = [
        *outside.ledger.requests(containing="/manifests/"),
        *outside.ledger.requests(containing="/chunksums/"),
    ]
    assert len(asked) == 2
    assert all((each.field("Authorization") or "").startswith("Bearer ") for each in asked)


def test_the_token_is_a_url_a_key_and_a_signature(identity: Identity) -> None:
    empty = (
        "ZTNiMGM0NDI5OGZjMWMxNDlhZmJmNGM4OTk2ZmI5MjQyN2FlNDFlNDY0OWI5MzRjYTQ5NTk5MWI3ODUyYjg1NQ=="
    )
    _, key, signature = make_token(identity).split(":")
    assert key == identity.key.public_key
    assert is_signed(key, signature, f"GET,https://ollama.com?ts=1000000000,{empty}")


async def test_a_chunk_of_wrong_bytes_ends_the_pull(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    offer_chunksums(outside, model.blobs[0], flip=True)
    with pytest.raises(PullError, match=r"^digest mismatch: want "):
        await pull(client)


async def test_the_registrys_own_chunks_lead_to_the_cdn(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    assert (await pull(client)).sha256_ok
    assert outside.ledger.upstream_bytes == model.blob_bytes
    assert outside.ledger.count("GET", f"/chunksums/{model.blobs[0].digest}") == 1


async def test_no_chunksums_no_pull(client: Client, outside: Outside) -> None:
    ordinary = outside.registry.answer

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        is_asked = "/chunksums/" in request.raw_path
        return web.Response(status=404) if is_asked else await ordinary(request)

    outside.registry.answer = answer
    with pytest.raises(PullError, match="file does not exist"):
        await pull(client)


async def test_a_failing_chunk_ends_the_pull(client: Client, outside: Outside) -> None:
    outside.faults.cdn_status = 503
    with pytest.raises(PullError, match=r"503|file does not exist"):
        await pull(client)


DIGEST = f"sha256:{hashlib.sha256(b'').hexdigest()}"


def test_chunks_are_read() -> None:
    digest = digest_of(b"")
    text = f"{DIGEST} 0-9\n {DIGEST}\t10-10"
    assert parse_chunksums(text, 11) == [Chunk(digest, 0, 10), Chunk(digest, 10, 11)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "incomplete"),
        (DIGEST, "malformed"),
        (f"{DIGEST} 0-x", "malformed"),
        (f"{DIGEST} 0-1-2", "malformed"),
        ("md5:abc 0-9", "malformed"),
        (f"{DIGEST} 1-9", "not contiguous"),
        (f"{DIGEST} 0-3 {DIGEST} 5-9", "not contiguous"),
        (f"{DIGEST} 0-8", "incomplete"),
        (f"{DIGEST} 0-10", "incomplete"),
    ],
)
def test_what_does_not_cover_the_blob_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(PullError, match=sentence):
        parse_chunksums(text, 10)


@given(text=st.text(), size_bytes=st.integers(0, 100))
def test_any_text_covers_the_blob_or_is_refused(text: str, size_bytes: int) -> None:
    try:
        chunks = parse_chunksums(text, size_bytes)
    except PullError:
        return
    assert sum(each.stop - each.start for each in chunks) == size_bytes
