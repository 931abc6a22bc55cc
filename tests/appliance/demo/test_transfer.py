"""A fair judge of parts: it looks at bytes and silences, and at nothing else."""

from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.deposit import DigestMismatchError
from appliance.demo.faults import BodyFault, Break
from appliance.demo.habits import Habits
from appliance.demo.models import DemoModel
from appliance.demo.outside import Outside
from tests.appliance.demo.conftest import pull


async def test_a_truncated_part_goes_on_where_it_ended(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.faults.body = BodyFault(Break.TRUNCATE, after_bytes=20_000, times=3)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert pulled.blobs[0].retries == 3
    assert outside.ledger.upstream_bytes == model.blob_bytes
    starts = [
        int((each.field("Range") or "").partition("=")[2].partition("-")[0])
        for each in outside.ledger.requests(site="cdn")
    ]
    assert sum(start % 50_000 == 20_000 for start in starts) == 3


async def test_errors_are_retried_and_then_given_up(client: Client, outside: Outside) -> None:
    outside.faults.cdn_status = 503
    with pytest.raises(PullError, match=r"^max retries exceeded: EOF$"):
        await pull(client)
    tries = Counter(each.field("Range") for each in outside.ledger.requests(site="cdn"))
    assert max(tries.values()) == 6


async def test_an_expired_url_is_not_renewed(client: Client, outside: Outside) -> None:
    outside.presigner.lifetime_seconds = 0
    with pytest.raises(PullError, match=r"^max retries exceeded: EOF$"):
        await pull(client)


async def test_a_reset_throws_the_attempt_away(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    outside.faults.body = BodyFault(Break.RESET, after_bytes=20_000, times=1)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert outside.ledger.upstream_bytes == model.blob_bytes + 20_000
    starts = [each.field("Range") or "" for each in outside.ledger.requests(site="cdn")]
    assert not any(start.startswith("bytes=20000-") for start in starts)


@pytest.mark.parametrize("after_bytes", [0, 20_000])
async def test_a_stall_restarts_the_part_and_is_measured(
    client: Client, outside: Outside, after_bytes: int
) -> None:
    outside.faults.body = BodyFault(Break.STALL, after_bytes, times=1)
    pulled = await pull(client)
    assert pulled.sha256_ok
    assert (pulled.blobs[0].stalls, pulled.blobs[0].retries) == (1, 0)
    assert pulled.longest_silence_seconds >= 0.3  # 30 seconds, at pace 100.


async def test_stalls_are_never_given_up(outside: Outside, tmp_path: Path) -> None:
    outside.faults.body = BodyFault(Break.STALL, 200_000, times=8)
    impatient = Client(tmp_path / "client", outside.surroundings, Habits(pace=300))
    assert (await pull(impatient)).blobs[0].stalls >= 8


async def test_the_status_of_a_part_does_not_matter(
    client: Client, outside: Outside, model: DemoModel
) -> None:
    """A whole body where a part was asked for is written as if it were that part."""
    first = model.blobs[0]
    ordinary = outside.cdn.answer

    async def whole(request: web.BaseRequest) -> web.StreamResponse:
        if first.digest.encoded in request.raw_path:
            return web.Response(body=first.path.read_bytes())
        return await ordinary(request)

    outside.cdn.answer = whole
    with pytest.raises(DigestMismatchError, match=str(first.digest)):
        await pull(client)


async def test_a_shifted_content_range_is_not_even_seen(client: Client, outside: Outside) -> None:
    outside.faults.range_shift_bytes = 7
    assert (await pull(client)).sha256_ok
