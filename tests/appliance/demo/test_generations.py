"""The generations against seven ways to answer a blob's GET, as real clients were measured.

The table is the oracle: an emulated client that accepts more, or less, is no judge of the box.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web

from appliance.demo.bodies import BlobSender
from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.credentials import DemoAuthority
from appliance.demo.faults import BodyFault, Break, Faults
from appliance.demo.habits import (
    BEFORE_0_3_1,
    BEFORE_0_3_7,
    BEFORE_0_3_10,
    BEFORE_0_5_8,
    BEFORE_0_32_2,
    BEFORE_0_35_2,
    CLIENT2,
    NEWEST,
    Habits,
    Surroundings,
)
from appliance.demo.ledger import Ledger
from appliance.demo.models import TENSOR_TYPE, DemoModel, assemble, blocks, write_blob
from appliance.demo.names import NameServer
from appliance.demo.outside import CDN_NAME, Outside
from appliance.demo.rates import Line
from appliance.demo.site import Site
from appliance.protocol.routes import BlobPull, ManifestPull, parse_route
from tests.appliance.demo.conftest import pull

REGISTRY, BLOB_HOST = "registry.ollama.ai", "blobs.box.test"
PRIVATE, OTHER_PRIVATE, PUBLIC = "10.9.9.9", "10.9.9.10", "203.0.113.10"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Row:
    """A way to answer: the un-ranged GET's status and Location, and where both hosts are."""

    status: int
    location: str = ""
    registry_at: str = PRIVATE
    blobs_at: str = OTHER_PRIVATE
    insecure: bool = False


ROWS = {
    "A": Row(200),
    "B": Row(200, "{path}"),
    "C": Row(307, f"https://{BLOB_HOST}{{path}}"),
    "C2": Row(307, f"http://{BLOB_HOST}{{path}}"),
    "D": Row(307, f"https://{BLOB_HOST}{{path}}", blobs_at=PUBLIC),
    "E": Row(200, "{path}", registry_at=PUBLIC),
    "F": Row(200, "{path}", insecure=True),
    "G": Row(307, f"http://{BLOB_HOST}{{path}}", insecure=True),
}
GENERATIONS = {
    "0.3.0": (BEFORE_0_3_1, "A B C C2 D E F G"),
    "0.3.6": (BEFORE_0_3_7, "C C2 D G"),
    "0.3.9": (BEFORE_0_3_10, "C C2 D G"),
    "0.5.7": (BEFORE_0_5_8, "B C C2 D E F G"),
    "0.32.1": (BEFORE_0_32_2, "B C C2 D E F G"),
    "0.33.0": (Habits(), "B C C2 D E F G"),
    "0.35.1": (BEFORE_0_35_2, "B C C2 D E F G"),
    "newest": (NEWEST, "D E F G"),
}
CASES = [
    pytest.param(habits, row, letter in accepted.split(), id=f"{name}-{letter}")
    for name, (habits, accepted) in GENERATIONS.items()
    for letter, row in ROWS.items()
]


class ScriptedBox:
    """Answers manifests, sizes and ranges as any registry, and un-ranged GETs as its row says."""

    def __init__(self, model: DemoModel, row: Row) -> None:
        self._model = model
        self._row = row
        self.ledger = Ledger()
        self._sender = BlobSender(Line(None, None), Faults(), self.ledger)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        route = parse_route(request.method, request.raw_path)
        if isinstance(route, ManifestPull):
            return web.Response(body=self._model.manifest)
        assert isinstance(route, BlobPull)
        (blob,) = {each for each in self._model.blobs if each.digest == route.digest}
        is_asked_where = request.method == "GET" and "Range" not in request.headers
        if not is_asked_where or request.host.startswith(BLOB_HOST):
            return await self._sender.send(request, blob)
        if self._row.status == 200 and not self._row.location:
            return await self._sender.send(request, blob)
        location = self._row.location.format(path=request.raw_path)
        body = blob.path.read_bytes() if self._row.status == 200 else b""
        return web.Response(status=self._row.status, headers={"Location": location}, body=body)


@asynccontextmanager
async def scripted(
    directory: Path, model: DemoModel, row: Row
) -> AsyncIterator[tuple[ScriptedBox, Surroundings]]:
    box = ScriptedBox(model, row)
    authority = DemoAuthority(directory)
    zone = {REGISTRY: (row.registry_at,), BLOB_HOST: (row.blobs_at,)}
    async with AsyncExitStack() as held:

        async def open_site(tls: ssl.SSLContext | None) -> int:
            site = Site(REGISTRY, box.answer, box.ledger, tls=tls)
            return (await held.enter_async_context(site)).port

        ports = {443: await open_site(authority.server_context([REGISTRY, BLOB_HOST]))}
        ports[80] = await open_site(None)
        names = await held.enter_async_context(NameServer(zone))
        yield (
            box,
            Surroundings(
                dns=(names.address, names.port),
                ca_file=authority.ca_file,
                ports=ports,
                routes=dict.fromkeys((PRIVATE, OTHER_PRIVATE, PUBLIC), LOOPBACK),
            ),
        )


@pytest.mark.parametrize(("habits", "row", "is_accepted"), CASES)
async def test_every_generation_accepts_what_the_real_one_does(
    tmp_path: Path, model: DemoModel, habits: Habits, row: Row, *, is_accepted: bool
) -> None:
    habits = replace(habits, part_bytes_min=50_000, pace=1000)
    async with scripted(tmp_path, model, row) as (box, surroundings):
        client = Client(tmp_path / "client", surroundings, habits)
        if is_accepted:
            assert (await pull(client, insecure=row.insecure)).sha256_ok
            assert box.ledger.upstream_bytes == model.blob_bytes
        else:
            with pytest.raises(PullError, match=REFUSAL):
                await pull(client, insecure=row.insecure)


TENSORS = {"0.33.0": (Habits(), "A B C C2 D E F G"), "newest": (NEWEST, "A B D E F G")}


@pytest.mark.parametrize(
    ("habits", "row", "is_accepted"),
    [
        pytest.param(habits, row, letter in accepted.split(), id=f"{name}-{letter}")
        for name, (habits, accepted) in TENSORS.items()
        for letter, row in ROWS.items()
    ],
)
async def test_tensors_are_taken_from_a_private_registry_and_from_nowhere_else_private(
    tmp_path: Path, model: DemoModel, habits: Habits, row: Row, *, is_accepted: bool
) -> None:
    shards = [
        write_blob(tmp_path / "origin", TENSOR_TYPE, blocks(f"{number}", 5000))
        for number in range(6)
    ]
    model = assemble(model.repository, ["latest"], shards, None)
    async with scripted(tmp_path, model, row) as (_, surroundings):
        client = Client(tmp_path / "client", surroundings, replace(habits, pace=1000))
        if is_accepted:
            assert (await pull(client, insecure=row.insecure)).sha256_ok
        else:
            with pytest.raises(PullError, match=r"redirect target not allowed: "):
                await pull(client, insecure=row.insecure)


@pytest.mark.parametrize("row", [pytest.param(row, id=letter) for letter, row in ROWS.items()])
async def test_client2_never_asks_where_a_blob_is(
    tmp_path: Path, model: DemoModel, row: Row
) -> None:
    async with scripted(tmp_path, model, row) as (box, surroundings):
        client = Client(tmp_path / "client", surroundings, CLIENT2)
        assert (await pull(client, insecure=row.insecure)).sha256_ok
        assert box.ledger.upstream_bytes == model.blob_bytes


REFUSAL = (
    r"^http: no Location header in response$|^unexpected status code 200$"
    r"|^redirect target not allowed: "
)


@pytest.mark.parametrize(
    ("habits", "stalls_before", "stall_seconds"),
    [
        pytest.param(BEFORE_0_3_1, False, 5, id="0.3.0"),
        pytest.param(BEFORE_0_5_8, False, 5, id="0.5.7"),
        pytest.param(BEFORE_0_32_2, False, 30, id="0.32.1"),
        pytest.param(BEFORE_0_35_2, True, 30, id="0.35.1"),
        pytest.param(NEWEST, True, 30, id="newest"),
    ],
)
async def test_how_long_a_silence_is_borne_and_from_when(
    outside: Outside, tmp_path: Path, habits: Habits, stall_seconds: float, *, stalls_before: bool
) -> None:
    """Silence before a part's first byte counts from 0.32.2 on; after it, it always did."""
    assert habits.stall_seconds == stall_seconds
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    surroundings = replace(outside.surroundings, routes={PUBLIC: outside.cdn.address})
    ordinary, is_first = outside.cdn.answer, True

    async def hesitate(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal is_first
        if is_first:
            is_first = False
            await Line(None, 1000).open_transfer().wait(1600)  # Longer than any of them waits here.
        return await ordinary(request)

    outside.cdn.answer = hesitate
    habits = replace(habits, pace=100)
    slow_start = await pull(Client(tmp_path / "first", surroundings, habits))
    assert sum(each.stalls for each in slow_start.blobs) == stalls_before
    outside.faults.body = BodyFault(Break.STALL, after_bytes=20_000, times=1)
    silent_later = await pull(Client(tmp_path / "later", surroundings, habits))
    assert sum(each.stalls for each in silent_later.blobs) == 1


@pytest.mark.parametrize(
    ("habits", "at_once"),
    [
        pytest.param(BEFORE_0_3_1, 64, id="0.3.0"),
        pytest.param(BEFORE_0_3_7, 64, id="0.3.6"),
        pytest.param(BEFORE_0_3_10, 16, id="0.3.9"),
        pytest.param(NEWEST, 16, id="newest"),
    ],
)
async def test_how_many_parts_are_asked_for_at_once(
    outside: Outside, tmp_path: Path, model: DemoModel, habits: Habits, at_once: int
) -> None:
    outside.names.zone[CDN_NAME] = (PUBLIC,)
    surroundings = replace(outside.surroundings, routes={PUBLIC: outside.cdn.address})
    ordinary, gathered = outside.cdn.answer, asyncio.Event()
    open_now = most = 0

    async def gather(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        if open_now == at_once:
            gathered.set()
        await gathered.wait()
        try:
            return await ordinary(request)
        finally:
            open_now -= 1

    outside.cdn.answer = gather
    size_bytes = model.blobs[0].size_bytes // 128
    habits = replace(habits, part_bytes_min=size_bytes, part_bytes_max=size_bytes, pace=0.1)
    assert (await pull(Client(tmp_path / "client", surroundings, habits))).sha256_ok
    assert most == at_once
