"""P1 and P2: what a held blob costs, by redirect in the clear and inline over TLS, beside nginx."""

from statistics import median

from bench.fetching import Fetch, fetch, middle
from bench.machine import find_program
from bench.part import Setting
from bench.processes import memory_mib
from bench.results import Result, Section, Table, compare
from bench.servers import Server, hold_blob, run_box, run_nginx

COUNTS = (1, 16)
GOALS = {"plain": (1.1, 0.95), "tls": (0.8, 1.0)}
_HEADINGS = (
    *("", "CPU-s a GiB", "least", "MB/s", "server's cores", "client's CPU-s a GiB"),
    *("client's cores", "peak RSS, MiB"),
)


def measure_redirect(setting: Setting) -> Section:
    """P1: a GET with a grant on the plain port; nginx with sendfile."""
    return _measure(setting, "P1", "plain")


def measure_inline(setting: Setting) -> Section:
    """P2: the same through mitmproxy and the pump; nginx with TLS 1.3 and sendfile."""
    return _measure(setting, "P2", "tls")


def _measure(setting: Setting, part: str, how: str) -> Section:
    size_bytes = setting.choose(2048, 512) * 2**20
    room = setting.room(part)
    blob, digest = hold_blob(room, size_bytes)
    with (
        run_box(room, digest) as box,
        run_nginx(room, blob, find_program("nginx")) as nginx,
    ):
        servers = {"box": box, "nginx": nginx}
        fetches = _in_turn(servers, how, size_bytes, setting.rounds)
        peaks = {who: memory_mib(server.pid, "VmHWM") for who, server in servers.items()}
    rows = [
        (
            f"{who}, {count} at once",
            *(middle(each, "server_cost"), min(one.server_cost for one in each)),
            *(middle(each, "rate"), middle(each, "server_cores"), middle(each, "client_cost")),
            *(middle(each, "client_cores"), peaks[who]),
        )
        for (who, count), each in fetches.items()
    ]
    return Section(_judge(part, how, fetches), [Table(_HEADINGS, rows)])


def _in_turn(
    servers: dict[str, Server], how: str, size_bytes: int, rounds: int
) -> dict[tuple[str, int], list[Fetch]]:
    kinds = [(who, count) for count in COUNTS for who in servers]
    fetches: dict[tuple[str, int], list[Fetch]] = {kind: [] for kind in kinds}
    for who in servers:
        fetch(servers[who], how, 1, size_bytes)  # The first touches what is never touched again.
    for _ in range(rounds):
        for who, count in kinds:
            fetches[who, count].append(fetch(servers[who], how, count, size_bytes))
    return fetches


def _judge(part: str, how: str, fetches: dict[tuple[str, int], list[Fetch]]) -> list[Result]:
    cpu_goal, rate_goal = GOALS[how]
    results = []
    for count in COUNTS:
        ours, theirs = fetches["box", count], fetches["nginx", count]
        cost = [median(each.server_cost for each in those) for those in (ours, theirs)]
        rate = [median(each.rate for each in those) for those in (ours, theirs)]
        what = f"{count} {'range' if count == 1 else 'ranges'}"
        cpu = compare(f"{part}.{count}.cpu", f"{what}: CPU-s a GiB", *cost, at_most=cpu_goal)
        results += [
            cpu,
            compare(f"{part}.{count}.rate", f"{what}: MB/s", *rate, at_least=rate_goal),
        ]
    return results
