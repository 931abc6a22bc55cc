"""P3: the box's memory while 64 clients take nothing of a blob and 16 ranges of it flow."""

from bench.fetching import fetch
from bench.part import Setting
from bench.processes import memory_of_one_mib, watching
from bench.results import Result, Section, Table, bound
from bench.servers import Server, hold_blob, run_box
from bench.slow import stalled

SLOW, FAST = 64, 16
GOAL_MIB = 160


def measure(setting: Setting) -> Section:
    """In the clear, then over TLS, with a box each: memory once had stays."""
    size_bytes = setting.choose(2048, 512) * 2**20
    room = setting.room("P3")
    _, digest = hold_blob(room, size_bytes)
    rows, results = [], []
    for how in ("plain", "tls"):
        with run_box(room, digest) as box:
            row, result = _crowd(box, how, size_bytes, setting.rounds)
        rows.append(row)
        results.append(result)
    headings = ("", "at the start, MiB", "peak, MiB", "after 64 MB, MiB", "MB/s")
    return Section(results, [Table(headings, rows)])


def _crowd(
    box: Server, how: str, size_bytes: int, rounds: int
) -> tuple[tuple[str, float, float, float, float], Result]:
    start_mib = memory_of_one_mib(box.pid)
    with stalled(box, SLOW, how), watching(box.pid) as small:
        fetch(box, how, FAST, min(size_bytes, 64 * 10**6))
    with stalled(box, SLOW, how), watching(box.pid) as peak:
        rates = [fetch(box, how, FAST, size_bytes).rate for _ in range(rounds)]
    what = f"{SLOW} stalled, {FAST} flowing, {how}"
    row = (what, start_mib, peak.own_mib, small.own_mib, sum(rates) / len(rates))
    return row, bound(f"P3.{how}", f"{what}: RSS, MiB", peak.own_mib, at_most=GOAL_MIB)
