"""The table of docs/CLIENTS.md of networks: what pulls come to on each, by every way to the box.

`python -m tests.journeys.network_table` plays all of it and writes the table into that document;
`test_networks.py` plays the same and holds the document to what came of it.
"""

import re
import tempfile
import time
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from pathlib import Path

from appliance.demo.client import Client
from appliance.demo.conversation import PullError
from appliance.demo.habits import BEFORE_0_32_2, NEWEST, Surroundings
from appliance.demo.models import DemoModel
from appliance.demo.outside import REGISTRY_NAME
from tests.journeys.client_table import DOCUMENT, PART_BYTES, Generation, judge, write_new_model
from tests.journeys.networks import BOX, RESOLVER, ROUTER, Network, Shape, open_network

OLDER, NEWER = Generation("0.32.1", BEFORE_0_32_2), Generation("newest", NEWEST)
PATIENCE_SECONDS = 20.0  # With a pull that fails: what a box learns takes it a second.
PACE = 20  # What fails does so after six tries, which take a minute.

_TABLE = re.compile(r"(?<=<!-- networks -->\n).*?(?=<!-- end of networks -->)", re.DOTALL)


class Coming(StrEnum):
    """How a machine comes to the box, in the order in which it is played."""

    ELSEWHERE_NAMED = "a DNS of its own that leads the registry here, and no other name"
    PROXY = "proxy"
    BOTH_PROXIES = "proxy, with HTTP_PROXY too"
    DNS = "dns"
    PLAIN = "plain"
    BY_IPV4 = "dns, and by IPv4 all the same"
    WITHOUT_IPV6 = "dns, without IPv6"
    AMONG_OTHERS = "the DNS of its own, where others ask the box's"


type Row = tuple[str, Coming]
type Column = dict[Row, str]
ROWS: tuple[Row, ...] = tuple((who.label, how) for how in Coming for who in (OLDER, NEWER))


@dataclass(frozen=True, slots=True)
class Play:
    """Pulls on one network."""

    network: Network
    home: Path
    numbers: "count[int]"

    def pull_twice(self, who: Generation, how: Coming) -> str:
        """What comes of a model that is new to the box, and of pulling it again elsewhere."""
        model = write_new_model(self.home, next(self.numbers), who)
        self.network.outside.publish(model)
        label = f"{who.label}, {how}"
        prefix, cold, until = "", None, time.monotonic() + PATIENCE_SECONDS
        while cold is None:
            try:
                cold = self._pull(who, how, model)
            except PullError:
                if time.monotonic() > until:
                    raise
                prefix = "fails, then "  # Typed again, as a person would; the box learns from it.
        return f"{prefix}{judge(label, model, cold, self._pull(who, how, model))}"

    def _pull(self, who: Generation, how: Coming, model: DemoModel) -> int:
        """Pull as a machine that has nothing yet; returns the bytes that crossed the Internet."""
        network, ledger = self.network, self.network.outside.ledger
        habits = replace(who.habits, part_bytes_min=PART_BYTES, pace=PACE)
        around = replace(_AROUND.get(how, _BY_BOX), ca_file=network.trusted)
        client = Client(self.home / f"client-{next(self.numbers)}", around, habits)
        machine = network.client
        if how in (Coming.WITHOUT_IPV6, Coming.AMONG_OTHERS):
            machine = network.container if how is Coming.WITHOUT_IPV6 else network.neighbour
        before_bytes = ledger.upstream_bytes
        name, insecure = model.repository.model, how is Coming.PLAIN
        pulled = machine.inside(lambda: client.pull(name, insecure=insecure))
        assert pulled.sha256_ok
        assert pulled.manifest == model.digest
        return ledger.upstream_bytes - before_bytes


_BY_BOX = Surroundings(dns=(BOX, 53))
_BY_PROXY = Surroundings(dns=(RESOLVER, 53), https_proxy=(BOX, 3128))
_AROUND = {
    Coming.ELSEWHERE_NAMED: Surroundings(dns=(ROUTER, 53)),
    Coming.AMONG_OTHERS: Surroundings(dns=(ROUTER, 53)),
    Coming.PROXY: _BY_PROXY,
    Coming.BOTH_PROXIES: replace(_BY_PROXY, http_proxy=(BOX, 3128)),
    Coming.BY_IPV4: replace(_BY_BOX, hosts={REGISTRY_NAME: BOX}),
}


def play_network(network: Network, home: Path) -> Column:
    """What every machine's pulls came to."""
    play = Play(network, home, count())
    return {(who.label, how): play.pull_twice(who, how) for how in Coming for who in (OLDER, NEWER)}


def format_table(columns: dict[Shape, Column]) -> str:
    """The Markdown of the table."""
    head = (
        f"| Ollama | comes by | {' | '.join(columns)} |\n| --- | --- |{' --- |' * len(columns)}\n"
    )
    return head + "".join(
        f"| {label} | {how} | {' | '.join(each[label, how] for each in columns.values())} |\n"
        for label, how in ROWS
    )


def read_table(document: str) -> dict[Shape, Column]:
    """The columns of the table that stands in the document."""
    match = _TABLE.search(document)
    assert match is not None, "the document has a table between its two marks"
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in match[0].splitlines()
    ]
    return {
        Shape(shape): {(row[0], Coming(row[1])): row[index] for row in rows}
        for index, shape in enumerate(head[2:], start=2)
    }


def write_table() -> None:
    """Play everything and write what came of it into the document."""
    columns = {}
    for shape in Shape:
        with tempfile.TemporaryDirectory() as home, open_network(shape, Path(home)) as network:
            columns[shape] = play_network(network, Path(home))
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _: format_table(columns), text), "utf-8")


if __name__ == "__main__":
    write_table()
