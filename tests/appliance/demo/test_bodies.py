"""Bodies: whole, ranged, counted, and broken on request."""

import asyncio

import pytest
from aiohttp import ClientError

from appliance.demo.faults import BodyFault, Break
from appliance.demo.models import DemoBlob, DemoModel
from appliance.demo.outside import Outside
from tests.appliance.demo.conftest import Asking


@pytest.fixture
def blob(model: DemoModel) -> DemoBlob:
    return model.blobs[0]


@pytest.fixture
def target(plain: Outside, blob: DemoBlob) -> str:
    return plain.presigner.sign(plain.cdn.authority, blob.digest)


async def test_whole(ask: Asking, plain: Outside, target: str, blob: DemoBlob) -> None:
    answer = await ask(plain.cdn, target)
    assert (answer.status, await answer.read()) == (200, blob.path.read_bytes())
    assert answer.headers["ETag"].strip('"') == blob.digest.encoded[:32]
    assert plain.ledger.blob_bytes == {blob.digest: blob.size_bytes}


async def test_head_sends_no_body(ask: Asking, plain: Outside, target: str, blob: DemoBlob) -> None:
    answer = await ask(plain.cdn, target, "HEAD")
    assert answer.headers["Content-Length"] == str(blob.size_bytes)
    assert plain.ledger.upstream_bytes == 0


async def test_ranged(ask: Asking, plain: Outside, target: str, blob: DemoBlob) -> None:
    answer = await ask(plain.cdn, target, Range="bytes=1000-1999")
    assert (answer.status, await answer.read()) == (206, blob.path.read_bytes()[1000:2000])
    assert answer.headers["Content-Range"] == f"bytes 1000-1999/{blob.size_bytes}"
    assert plain.ledger.upstream_bytes == 1000


async def test_a_range_past_the_end_is_416(ask: Asking, plain: Outside, target: str) -> None:
    answer = await ask(plain.cdn, target, Range="bytes=999999-")
    assert answer.status == 416


@pytest.mark.parametrize("kind", [Break.RESET, Break.TRUNCATE])
async def test_a_broken_body_ends_early_and_once(
    ask: Asking, plain: Outside, target: str, kind: Break
) -> None:
    plain.faults.body = BodyFault(kind, after_bytes=10_000, times=1)
    with pytest.raises(ClientError):
        await ask(plain.cdn, target)
    assert plain.ledger.upstream_bytes == 10_000
    assert (await ask(plain.cdn, target)).status == 200


async def test_a_stalled_body_sends_nothing_more_and_lets_go_at_the_end(
    plain: Outside, target: str
) -> None:
    plain.faults.body = BodyFault(Break.STALL, after_bytes=100)
    reader, writer = await asyncio.open_connection(plain.cdn.address, plain.cdn.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {plain.cdn.authority}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(100)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), timeout=0.05)
    writer.close()
    await writer.wait_closed()


async def test_a_flipped_blob_differs_in_one_bit(
    ask: Asking, plain: Outside, target: str, blob: DemoBlob
) -> None:
    plain.faults.flipped.add(blob.digest)
    right, wrong = blob.path.read_bytes(), await (await ask(plain.cdn, target)).read()
    assert right[0] ^ wrong[0] == 1
    assert right[1:] == wrong[1:]


async def test_a_shifted_content_range_names_other_bytes(
    ask: Asking, plain: Outside, target: str, blob: DemoBlob
) -> None:
    plain.faults.range_shift_bytes = 7
    answer = await ask(plain.cdn, target, Range="bytes=0-9")
    assert answer.headers["Content-Range"] == f"bytes 7-16/{blob.size_bytes + 7}"
    assert await answer.read() == blob.path.read_bytes()[:10]
