"""How the box's costs grow with its work: blobs and models, clients, parts, the blob's size.

Every sweep changes one amount and measures some costs; the power that a cost grows with is the
slope on logarithmic scales: 1 is linear, 0 is flat. Costs that hold something constant (Python
itself, a box at rest) grow slower than what is added to them.
"""

import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.crowd import USER_AGENT
from bench.fetching import GIB, cut
from bench.figures import growth_exponent
from bench.manifests import SCRIPT, burst
from bench.part import Setting
from bench.plots import draw
from bench.processes import memory_of_one_mib, watching
from bench.results import Result, Section, Table, bound
from bench.servers import REPOSITORY, Server, hold_blob, run_box
from bench.shelves import Stock, stock
from bench.sink import Place, fetch_all

FLAT, LINEAR = 0.15, 1.1  # With room for what a measurement scatters.
BLOBS_A_MODEL = 10
END_BYTES = 256 * 2**20  # What is fetched of a blob's end, however large it is.
TINY = 0.001  # Instead of 0, which the kernel's hundredths of a second may give.


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost, and the power of the amount that it may grow with at most."""

    name: str
    title: str
    unit: str
    power_max: float


@dataclass(slots=True)
class Sweep:
    """Costs against amounts of one thing."""

    thing: str
    costs: Sequence[Cost]
    amounts: list[float] = field(default_factory=list)
    found: dict[str, list[float]] = field(default_factory=dict)

    def add(self, amount: float, *costs: float) -> None:
        """What so much of the thing costs, in the order of `costs`."""
        self.amounts.append(amount)
        for cost, value in zip(self.costs, costs, strict=True):
            self.found.setdefault(cost.name, []).append(max(value, TINY))

    def judge(self) -> Iterator[Result]:
        for cost in self.costs:
            power = growth_exponent(self.amounts, self.found[cost.name])
            what = f"{cost.title} by {self.thing}: power"
            yield bound(f"GROWTH.{cost.name}", what, power, at_most=cost.power_max)

    def table(self) -> Table:
        rows: list[tuple[str | float, ...]] = [
            (f"{amount:,.0f}", *(self.found[cost.name][row] for cost in self.costs))
            for row, amount in enumerate(self.amounts)
        ]
        headings = [f"{cost.title}, {cost.unit}" for cost in self.costs]
        return Table((self.thing, *headings), rows)

    def plots(self) -> dict[str, str]:
        return {
            f"growth-{cost.name}": draw(
                f"{cost.title} by {self.thing}",
                self.thing,
                cost.unit,
                self.amounts,
                self.found[cost.name],
            )
            for cost in self.costs
        }


def measure(setting: Setting) -> Section:
    """All sweeps, one after another."""
    room = setting.room("growth")
    sweeps = [
        _sweep_stock(setting, room),
        _sweep_crowd(setting, room, "clients", lambda count, size: [(0, size)] * count),
        _sweep_crowd(setting, room, "parts", lambda count, size: cut(size, count)),
        _sweep_size(setting, room),
    ]
    return Section(
        [each for sweep in sweeps for each in sweep.judge()],
        [sweep.table() for sweep in sweeps],
        {name: plot for sweep in sweeps for name, plot in sweep.plots().items()},
    )


def _sweep_stock(setting: Setting, room: Path) -> Sweep:
    sweep = Sweep(
        "blobs held",
        [
            Cost("start", "until ready", "s", LINEAR),
            Cost("memory", "memory", "MiB", LINEAR),
            Cost("list", "list of models", "ms", LINEAR),
            Cost("manifest", "CPU of a manifest hit", "µs", FLAT),
            Cost("redirect", "CPU of a blob's redirect", "µs", FLAT),
        ],
    )
    for blobs in setting.choose((100, 1000, 10_000, 30_000), (100, 1000)):
        place = room / f"stock-{blobs}"
        place.mkdir()
        digest = stock(place / "state", Stock(blobs // BLOBS_A_MODEL, blobs))
        (place / "get.lua").write_text(SCRIPT)
        (place / "blob.lua").write_text(f'{SCRIPT}\nwrk.headers["User-Agent"] = "{USER_AGENT}"')
        with run_box(place, digest):
            pass  # The first start makes keys.
        began = time.monotonic()
        with run_box(place, digest) as box:
            ready_seconds, memory_mib = time.monotonic() - began, memory_of_one_mib(box.pid)
            seconds = setting.choose(3, 1)
            plain = box.urls["plain"].partition("/blobs/")[0]
            box.urls["blob manifest"] = f"{plain}/v2/{REPOSITORY}/blobs/{digest}"
            sweep.add(
                blobs,
                *(ready_seconds, memory_mib, _list_ms(plain, setting.rounds)),
                burst(box, "plain", place / "get.lua", seconds).cpu_us,
                burst(box, "blob", place / "blob.lua", seconds).cpu_us,
            )
    return sweep


def _list_ms(base: str, rounds: int) -> float:
    taken = []
    for _ in range(rounds + 1):
        began = time.monotonic()
        with urllib.request.urlopen(f"{base}/api/models") as answer:
            answer.read()
        taken.append((time.monotonic() - began) * 1000)
    return median(taken[1:])  # The first compiles what is never compiled again.


def _sweep_crowd(
    setting: Setting, room: Path, thing: str, spans: Callable[[int, int], list[tuple[int, int]]]
) -> Sweep:
    """By redirect, warm; `spans` of a blob of so many bytes for so many of `thing`."""
    name = thing.removesuffix("s")
    sweep = Sweep(
        thing,
        [
            Cost(f"{name}-cpu", "CPU a GiB", "s", FLAT),
            Cost(f"{name}-memory", "memory", "MiB", FLAT),
        ],
    )
    place, size_bytes = room / thing, setting.choose(1024, 256) * 2**20
    place.mkdir()
    _, digest = hold_blob(place, size_bytes)
    with run_box(place, digest) as box:
        _fetch(box, [(0, size_bytes)])
        for count in setting.choose((1, 4, 16, 64), (1, 8)):
            wanted = spans(count, size_bytes)
            found = [_fetch(box, wanted) for _ in range(setting.rounds)]
            sweep.add(count, *(median(each) for each in zip(*found, strict=True)))
    return sweep


def _fetch(box: Server, spans: list[tuple[int, int]]) -> tuple[float, float]:
    """CPU-seconds a GiB, and the most memory meanwhile."""
    url = urlsplit(box.urls["plain"])
    target = f"{url.path}?{url.query}"
    before = box.cpu_seconds()
    with watching(box.pid) as peak:
        size_bytes = fetch_all(Place(url.hostname or "", url.port or 80, target), spans)
    return (box.cpu_seconds() - before) * GIB / size_bytes, peak.own_mib


def _sweep_size(setting: Setting, room: Path) -> Sweep:
    sweep = Sweep(
        "GB of one blob",
        [
            Cost("size-cpu", "CPU a GiB of its end", "s", FLAT),
            Cost("size-memory", "memory", "MiB", FLAT),
            Cost("size-start", "until ready", "s", FLAT),
        ],
    )
    for size_gb in setting.choose((1, 10, 50, 200), (1, 200)):
        size_bytes = size_gb * 10**9
        place = room / f"size-{size_gb}"
        place.mkdir()
        digest = stock(place / "state", Stock(1, 1, size_bytes))
        with run_box(place, digest):
            pass
        began = time.monotonic()
        with run_box(place, digest) as box:
            ready_seconds = time.monotonic() - began
            span = (size_bytes - END_BYTES, size_bytes)
            found = [_fetch(box, [span] * 4) for _ in range(setting.rounds)]
            sweep.add(size_gb, *(median(each) for each in zip(*found, strict=True)), ready_seconds)
    return sweep
