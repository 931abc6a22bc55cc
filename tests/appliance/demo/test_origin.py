"""The registry: what registry.ollama.ai answers, down to the fields it leaves out."""

import gzip
from pathlib import Path

import pytest

from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.protocol.digest import digest_of
from appliance.protocol.manifest import MANIFEST_TYPE
from tests.appliance.demo.conftest import Asking

TINY = "/v2/library/tiny/manifests/latest"


async def test_a_manifest_comes_verbatim_in_chunks_as_plain_text(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    answer = await ask(plain.registry, TINY, Accept=MANIFEST_TYPE)
    assert (answer.status, await answer.read()) == (200, model.manifest)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Vary"] == "Accept"
    absent = {"Content-Length", "ETag", "Docker-Content-Digest", "ollama-content-digest"}
    assert not absent & set(answer.headers)


async def test_every_tag_and_the_digest_lead_to_it(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    for target in ("latest", "1b", str(model.digest), str(model.digest).replace(":", "%3A")):
        answer = await ask(plain.registry, f"/v2/library/tiny/manifests/{target}")
        assert await answer.read() == model.manifest


async def test_head_names_the_digest(ask: Asking, plain: Outside, model: DemoModel) -> None:
    answer = await ask(plain.registry, TINY, "HEAD")
    assert answer.headers["ollama-content-digest"] == digest_of(model.manifest).encoded


async def test_head_may_be_refused_as_in_2025(ask: Asking, plain: Outside) -> None:
    plain.manners.answers_manifest_head = False
    assert (await ask(plain.registry, TINY, "HEAD")).status == 405


async def test_a_manifest_may_be_packed_for_those_who_accept_it(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    plain.manners.gzips_manifests = True
    assert await (await ask(plain.registry, TINY)).read() == model.manifest
    answer = await ask(plain.registry, TINY, Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await answer.read()) == model.manifest


@pytest.mark.parametrize(
    ("target", "accept", "code"),
    [
        ("/v2/library/none/manifests/latest", "*/*", b"MANIFEST_UNKNOWN"),
        ("/v2/library/tiny/manifests/none", "*/*", b"MANIFEST_UNKNOWN"),
        (TINY, "application/json", b"MANIFEST_INVALID"),
        (f"/v2/library/tiny/blobs/sha256:{'0' * 64}", "*/*", b"BLOB_UNKNOWN"),
    ],
)
async def test_404_with_a_document(
    ask: Asking, plain: Outside, target: str, accept: str, code: bytes
) -> None:
    answer = await ask(plain.registry, target, Accept=accept)
    assert (answer.status, code in await answer.read()) == (404, True)


@pytest.mark.parametrize("target", ["/v2/", "/v2/_catalog", "/v2/library/tiny/tags/list", "/"])
async def test_there_is_nothing_else(ask: Asking, plain: Outside, target: str) -> None:
    assert (await ask(plain.registry, target)).status == 404


async def test_old_clients_are_told_to_update(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    plain.publish(model, version_min=(0, 31, 0))
    for agent, status in (("ollama/0.30.9 (x)", 412), ("ollama/0.31.0 (x)", 200), ("curl/8", 200)):
        answer = await ask(plain.registry, TINY, User_Agent=agent)
        assert answer.status == status
        assert (b"requires a newer version" in await answer.read()) == (status == 412)


async def test_a_blob_head_has_the_length_and_a_get_leads_to_the_cdn(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    blob = model.blobs[0]
    target = f"/v2/library/tiny/blobs/{blob.digest}"
    head = await ask(plain.registry, target, "HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(blob.size_bytes))
    moved = await ask(plain.registry, target)
    location = moved.headers["Location"]
    assert (moved.status, location.startswith(plain.cdn.url + "/ollama/docker/")) == (307, True)
    assert (await ask(plain.cdn, location.removeprefix(plain.cdn.url))).status == 200


async def test_a_blob_head_may_lead_to_the_cdn_as_in_2024(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    plain.manners.redirects_blob_head = True
    target = f"/v2/library/tiny/blobs/{model.blobs[0].digest}"
    assert (await ask(plain.registry, target, "HEAD")).status == 307


async def test_a_plain_registry_sends_blobs_itself_without_location(
    ask: Asking, plain: Outside, model: DemoModel
) -> None:
    plain.manners.sends_blobs_itself = True
    blob = model.blobs[0]
    target = f"/v2/library/tiny/blobs/{blob.digest}"
    answer = await ask(plain.registry, target)
    assert (answer.status, "Location" in answer.headers) == (200, False)
    assert (await ask(plain.registry, target, Range="bytes=0-0")).status == 206
    assert plain.ledger.upstream_bytes == blob.size_bytes + 1


async def test_a_blob_is_found_only_under_a_repository_that_lists_it(
    ask: Asking, plain: Outside, tmp_path: Path
) -> None:
    other = write_model(tmp_path, "other", [10])
    plain.publish(other)
    assert (
        await ask(plain.registry, f"/v2/library/tiny/blobs/{other.blobs[0].digest}")
    ).status == 404


async def test_private_models_are_challenged(ask: Asking, plain: Outside, model: DemoModel) -> None:
    plain.publish(model, is_private=True)
    for target in (TINY, f"/v2/library/tiny/blobs/{model.blobs[0].digest}"):
        answer = await ask(plain.registry, target)
        realm = 'realm="http://registry.ollama.ai/token"'
        assert (answer.status, realm in answer.headers["WWW-Authenticate"]) == (401, True)


async def test_a_push_is_recorded(ask: Asking, plain: Outside) -> None:
    target = "/v2/library/tiny/blobs/uploads/?mount=x"
    assert (await ask(plain.registry, target, "POST")).status == 401
    assert plain.ledger.count("POST", "/uploads/") == 1


async def test_it_fails_on_request(ask: Asking, plain: Outside, model: DemoModel) -> None:
    plain.faults.manifest_status, plain.faults.blob_status = 503, 500
    assert (await ask(plain.registry, TINY)).status == 503
    blob = model.blobs[0].digest
    assert (await ask(plain.registry, f"/v2/library/tiny/blobs/{blob}")).status == 500
    plain.faults.is_portal = True
    assert (await ask(plain.registry, TINY)).content_type == "text/html"


async def test_a_tag_moves(ask: Asking, plain: Outside, tmp_path: Path) -> None:
    moved = write_model(tmp_path, "tiny", [17])
    plain.publish(moved)
    assert await (await ask(plain.registry, TINY)).read() == moved.manifest
