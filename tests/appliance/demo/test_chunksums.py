"""The demo's chunksums are the blob's."""

from pathlib import Path

from appliance.demo.chunksums import CHUNK_BYTES, cut
from appliance.demo.models import DemoModel, write_model
from appliance.demo.outside import Outside
from appliance.protocol.chunksums import parse_chunksums
from appliance.protocol.digest import digest_of
from tests.appliance.demo.conftest import Asking


async def test_they_are_cut_and_hashed(tmp_path: Path, plain: Outside, ask: Asking) -> None:
    model = write_model(tmp_path, "large", [2 * CHUNK_BYTES + 1])
    plain.publish(model)
    blob = model.blobs[0]
    target = f"/v2/{model.repository}/chunksums/{blob.digest}"
    answer = await ask(plain.registry, target)
    chunks = parse_chunksums(await answer.read(), blob.size_bytes)
    content = blob.path.read_bytes()
    assert len(chunks) == 3
    assert all(
        digest_of(content[each.span.start : each.span.stop]) == each.digest for each in chunks
    )
    assert list(chunks) == cut(blob)
    assert answer.headers["Content-Location"].startswith(plain.cdn.url)


async def test_a_private_model_s_are_private(plain: Outside, model: DemoModel, ask: Asking) -> None:
    plain.publish(model, is_private=True)
    target = f"/v2/{model.repository}/chunksums/{model.blobs[0].digest}"
    assert (await ask(plain.registry, target)).status == 401
