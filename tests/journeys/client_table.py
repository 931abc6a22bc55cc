"""The table of docs/CLIENTS.md: every generation of Ollama by every way, cold and then warm.

`python -m tests.journeys.client_table` plays all of it on real boxes and writes the table into that
document; `test_clients.py` plays the same and holds the document to what came of it.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from appliance.demo.client import Client
from appliance.demo.conversation import Identity
from appliance.demo.credentials import ClientKey
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
from appliance.demo.models import (
    CONFIG_TYPE,
    MODEL_TYPE,
    TENSOR_TYPE,
    DemoModel,
    assemble,
    blocks,
    write_blob,
)
from appliance.demo.outside import CDN_NAME
from appliance.demo.stage import Stage
from appliance.protocol.reference import parse_model_name

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "CLIENTS.md"
BLOB_ADDRESS, CDN_ADDRESS = "203.0.113.10", "203.0.113.5"
LOOPBACK = "127.0.0.1"
# Everywhere, because nothing can listen at an address that only clients' routes know.
BLOB_HOST_SETTINGS = {
    "BLOBS_ADDRESS": BLOB_ADDRESS,
    "BLOBS_PUBLISHED": "true",  # What a loopback client asks of DNS is no evidence.
    "BOX_LISTEN": "0.0.0.0",
}
WEIGHTS_BYTES = 600_000
PART_BYTES = 40_000  # Fifteen parts, or sixty-four.
SHARD_BYTES, SHARD_COUNT = 20_000, 12

_TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


class Way(StrEnum):
    """How a client comes to use the box."""

    DNS = "dns"
    DNS_ALONE = "dns, no blob host"
    PLAIN = "plain"
    PROXY = "proxy"
    DIRECT = "direct"


class Outcome(StrEnum):
    """What a cold and a warm pull came to; both right to the last byte."""

    CACHED = "cached"  # The Internet was crossed once.
    UNCACHED = "uncached"  # It was crossed each time.


@dataclass(frozen=True, slots=True)
class Generation:
    """Releases that pull alike. `label` is what a reader looks for."""

    label: str
    habits: Habits
    has_tensors: bool = False


GENERATIONS = (
    Generation("to 0.3.0", BEFORE_0_3_1),
    Generation("0.3.1 to 0.3.6", BEFORE_0_3_7),
    Generation("0.3.7 to 0.3.9", BEFORE_0_3_10),
    Generation("0.3.10 to 0.5.7", BEFORE_0_5_8),
    Generation("0.5.8 to 0.32.1", BEFORE_0_32_2),
    Generation("0.32.2 to 0.35.1", BEFORE_0_35_2),
    Generation("`client2`", CLIENT2),
    Generation("tensors, to 0.35.1", BEFORE_0_35_2, has_tensors=True),
    Generation("tensors, newest", NEWEST, has_tensors=True),
    Generation("newest", NEWEST),  # Last: without a blob host it makes the CDN look public.
)

type Column = dict[str, Outcome]


class WrongPullError(Exception):
    """A pull came to neither outcome."""


@asynccontextmanager
async def open_way(way: Way, home: Path) -> AsyncIterator["Journey"]:
    """A box, and clients of it that come by `way`."""
    settings = {} if way is Way.DNS_ALONE else BLOB_HOST_SETTINGS
    async with Stage(home, time.time, settings=settings) as stage:
        trusted = home / "trusted.pem"
        files = (stage.box.ca_file, stage.outside.ca_file)
        trusted.write_bytes(b"".join(each.read_bytes() for each in files))
        yield Journey(way, stage, trusted)


class Journey:
    """Pulls by one way through one box."""

    def __init__(self, way: Way, stage: Stage, trusted: Path) -> None:
        self._way = way
        self.stage = stage
        self._trusted = trusted
        self._identity = Identity(ClientKey(), time.time)

    async def play(self, generation: Generation) -> Outcome:
        """Pull a model that is new to the box, and pull it again. Raises WrongPullError."""
        number = GENERATIONS.index(generation)
        model = await asyncio.to_thread(write_new_model, self.stage.directory, number, generation)
        self.stage.outside.publish(model)
        if self._way is Way.DNS_ALONE and generation is GENERATIONS[-1]:
            self.stage.outside.names.zone[CDN_NAME] = (CDN_ADDRESS,)
        cold, warm = [await self._pull(generation, model, each) for each in ("cold", "warm")]
        return judge(f"{generation.label} by {self._way}", model, cold, warm)

    async def pull_again(self, generation: Generation) -> int:
        """Pull what was played; returns the bytes that crossed the Internet."""
        number = GENERATIONS.index(generation)
        model = await asyncio.to_thread(write_new_model, self.stage.directory, number, generation)
        return await self._pull(generation, model, "again")

    async def _pull(self, generation: Generation, model: DemoModel, name: str) -> int:
        """Pull as a machine that has nothing yet; returns the bytes that crossed the Internet."""
        habits = replace(
            generation.habits, part_bytes_min=PART_BYTES, chunked_from_bytes=WEIGHTS_BYTES
        )
        directory = self.stage.directory / f"{name}-{GENERATIONS.index(generation)}"
        client = Client(directory, self._surroundings, habits, self._identity)
        ledger = self.stage.outside.ledger
        before_bytes = ledger.upstream_bytes
        insecure = self._way in (Way.PLAIN, Way.DIRECT)
        pulled = await asyncio.to_thread(client.pull, self._name(model), insecure=insecure)
        if not pulled.sha256_ok or pulled.manifest != model.digest:
            raise WrongPullError(f"{generation.label} by {self._way}: other bytes")
        return ledger.upstream_bytes - before_bytes

    def _name(self, model: DemoModel) -> str:
        if self._way is not Way.DIRECT:
            return model.repository.model
        return f"{LOOPBACK}:{self.stage.box.web_port}/{model.repository}"

    @property
    def _surroundings(self) -> Surroundings:
        box, outside = self.stage.box, self.stage.outside
        routes = {BLOB_ADDRESS: LOOPBACK, CDN_ADDRESS: outside.cdn.address}
        if self._way is Way.PROXY:
            door = (LOOPBACK, box.proxy_port)
            around = replace(outside.surroundings, https_proxy=door)
        else:
            around = box.surroundings
        return replace(around, ca_file=self._trusted, routes=routes)


def judge(who: str, model: DemoModel, cold_bytes: int, warm_bytes: int) -> Outcome:
    """What two pulls came to that took so many bytes of the Internet. Raises WrongPullError."""
    if (cold_bytes, warm_bytes) == (model.blob_bytes, 0):
        return Outcome.CACHED
    if min(cold_bytes, warm_bytes) >= model.blob_bytes:
        return Outcome.UNCACHED
    crossed = f"{cold_bytes} and {warm_bytes} of {model.blob_bytes} bytes crossed the Internet"
    raise WrongPullError(f"{who}: {crossed}")


def write_new_model(directory: Path, number: int, generation: Generation) -> DemoModel:
    """A model none of whose blobs another one has."""
    name = f"model-{number}"
    if generation.has_tensors:
        kind, sizes = TENSOR_TYPE, [SHARD_BYTES] * SHARD_COUNT
    else:
        kind, sizes = MODEL_TYPE, [WEIGHTS_BYTES, 1]
    layers = [
        write_blob(directory, kind, _content(f"{name} {index}", size_bytes))
        for index, size_bytes in enumerate(sizes)
    ]
    config = write_blob(directory, CONFIG_TYPE, iter([f'{{"name":"{name}"}}'.encode()]))
    return assemble(parse_model_name(name).repository, ["latest"], layers, config)


def _content(seed: str, size_bytes: int) -> Iterator[bytes]:
    return blocks(seed, size_bytes) if size_bytes > 8 else iter([seed.encode()])


async def play_way(way: Way, home: Path) -> Column:
    """What every generation's pulls by `way` came to."""
    async with open_way(way, home) as journey:
        return {each.label: await journey.play(each) for each in GENERATIONS}


def format_table(columns: dict[Way, Column]) -> str:
    """The Markdown of the table, newest generations last."""
    head = f"| Ollama | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}\n"
    return head + "".join(
        f"| {each.label} | {' | '.join(column[each.label] for column in columns.values())} |\n"
        for each in GENERATIONS
    )


def read_table(document: str) -> dict[Way, Column]:
    """The columns of the table that stands in the document."""
    match = _TABLE.search(document)
    assert match is not None, "the document has a table between its two marks"
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in match[0].splitlines()
    ]
    return {
        Way(way): {row[0]: Outcome(row[index]) for row in rows}
        for index, way in enumerate(head[1:], start=1)
    }


async def write_table() -> None:
    """Play everything and write what came of it into the document."""
    columns = {}
    for way in Way:
        with tempfile.TemporaryDirectory() as home:
            columns[way] = await play_way(way, Path(home))
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _: format_table(columns), text), "utf-8")


if __name__ == "__main__":
    asyncio.run(write_table())
