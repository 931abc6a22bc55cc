"""Bodies over TLS past mitmproxy: exact bytes, one thread at a time, and never more than asked."""

import random

import pytest

from appliance.protocol.digest import digest_of
from tests.addons.conftest import Door, request

LAYER = random.Random(7).randbytes(3_000_001)
BLOB = f"/v2/library/tiny/blobs/{digest_of(LAYER)}"
MANIFEST = "/v2/library/tiny/manifests/latest"


def part(first: int, last: int) -> bytes:
    return request("GET", BLOB, f"Range: bytes={first}-{last}")


@pytest.mark.parametrize("is_held", [True, False])
async def test_ranges_on_one_connection_are_exact(door: Door, *, is_held: bool) -> None:
    door.shop.source.publish("tiny", LAYER)
    if is_held:
        door.shop.keep("tiny", LAYER)
    async with door.dial() as wire:
        await wire.ask(request("GET", MANIFEST))
        for first, last in ((0, 0), (1, 1_500_000), (2_999_999, 3_000_000)):
            answer = await wire.ask(part(first, last))
            assert (answer.status, answer.body) == (206, LAYER[first : last + 1])
            assert answer.fields["Content-Range"] == f"bytes {first}-{last}/{len(LAYER)}"
        assert (await wire.ask(request("GET", "/v2/"))).status == 200
