"""P8: from the command to `ready`, which the box says once every door answers and a pull worked."""

import time
from statistics import median

from bench.part import Setting
from bench.processes import cpu_seconds, memory_of_one_mib
from bench.results import Section, Table, bound
from bench.servers import run_box
from bench.shelves import Stock, stock

GOAL_SECONDS = 2.0
STOCKS = (Stock(1, 1), Stock(1000, 10_000))


def measure(setting: Setting) -> Section:
    """With next to nothing, for comparison, and with what P8 wants."""
    starts: dict[Stock, list[tuple[float, float, float]]] = {each: [] for each in STOCKS}
    room = setting.room("P8")
    digests = {}
    for each in STOCKS:
        (room / str(each.blobs)).mkdir()
        digests[each] = stock(room / str(each.blobs) / "state", each)
        with run_box(room / str(each.blobs), digests[each]):
            pass  # The first start makes keys.
    for _ in range(setting.rounds):
        for each in STOCKS:
            began = time.monotonic()
            with run_box(room / str(each.blobs), digests[each]) as box:
                took = time.monotonic() - began
                starts[each].append((took, cpu_seconds(box.pid), memory_of_one_mib(box.pid)))
    rows = [
        (f"{each.models:,} models, {each.blobs:,} blobs", *map(median, zip(*found, strict=True)))
        for each, found in starts.items()
    ]
    seconds = [row[1] for row in rows]
    what = f"start with {rows[1][0]}, s"
    result = bound("P8", what, seconds[1], at_most=GOAL_SECONDS)
    return Section([result], [Table(("", "until ready, s", "CPU-s", "RSS, MiB"), rows)])
