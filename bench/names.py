"""P7: DNS, by dnsperf, beside dnsmasq.

The box takes a thousand questions a minute of one client, so each run of dnsperf asks fewer than
that, as fast as they are answered, from a loopback address of its own. What is forwarded goes to
another dnsmasq that knows every name; it is asked directly, too, and one question at a time.
"""

import contextlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median

from appliance.demo.ports import choose_port
from bench.figures import percentile
from bench.machine import find_program
from bench.part import Setting
from bench.processes import cpu_seconds, tree
from bench.results import Result, Section, Table, bound
from bench.servers import LOOPBACK, NAME, hold_blob, run_box, running

QUESTIONS = 960  # Of one client: below the box's quota.
ANSWERED_MIN = 0.95  # A datagram may be lost where the machine is busy.
OWN_GOAL, ADDED_GOAL_MS = 15_000, 1.0
_RATE = re.compile(r"Queries per second:\s+([\d.]+)")
_ANSWER = re.compile(r"^> NOERROR \S+ A ([\d.]+)$", re.MULTILINE)
_COUNT = re.compile(r"NOERROR (\d+) ")
_WAIT_SECONDS = 10.0


@dataclass(slots=True)
class Asked:
    """What one server gave: answers a second of each run, and its own time for an answer."""

    rates: list[float]
    cpu_us: list[float]
    late_ms: list[float]


@dataclass(frozen=True, slots=True)
class Responder:
    """A server of names: its process, and its port."""

    pid: int
    port: int


def measure(setting: Setting) -> Section:
    """Own answers a second, and what forwarding adds."""
    room = setting.room("P7")
    _, digest = hold_blob(room, 2**20)
    own, foreign = room / "own", room / "foreign"
    own.write_text(f"{NAME} A\n" * QUESTIONS)
    foreign.write_text("".join(f"host-{number}.example A\n" for number in range(QUESTIONS // 2)))
    upstream_port, box_port = choose_port(), choose_port()
    settings = {
        "DNS_ENABLED": "true",
        "DNS_PORT": str(box_port),
        "DNS_UPSTREAM": f"{LOOPBACK}:{upstream_port}",
        "BOX_ADDRESS": LOOPBACK,
    }
    with (
        _run_dnsmasq(upstream_port, "--address=/#/198.51.100.77") as upstream,
        run_box(room, digest, settings) as box,
        _run_dnsmasq(
            choose_port(), f"--address=/{NAME}/{LOOPBACK}", f"--server={LOOPBACK}#{upstream_port}"
        ) as dnsmasq,
    ):
        responder = Responder(max(tree(box.pid)), box_port)
        servers = {"box": responder, "dnsmasq": dnsmasq, "upstream": upstream}
        found = _ask_in_turn(servers, own, foreign, setting)
    return Section([*_judge(found)], [_tabulate(found)])


def _ask_in_turn(
    servers: dict[str, Responder], own: Path, foreign: Path, setting: Setting
) -> dict[str, Asked]:
    found = {who: Asked([], [], []) for who in servers}
    clients = (f"127.1.{number // 250}.{number % 250 + 1}" for number in count())
    for _ in range(setting.rounds):
        for _ in range(setting.choose(20, 5)):
            for who in ("box", "dnsmasq"):
                _ask_for_rate(servers[who], own, next(clients), found[who])
        for who, server in servers.items():
            said = _dnsperf(server, foreign, next(clients), "-q", "1", "-v")
            found[who].late_ms += [float(each) * 1000 for each in _ANSWER.findall(said)]
    return found


def _ask_for_rate(server: Responder, questions: Path, client: str, asked: Asked) -> None:
    before = cpu_seconds(server.pid)
    said = _dnsperf(server, questions, client)
    rate = _RATE.search(said)
    answered = _COUNT.search(said)
    if rate is None or answered is None or int(answered[1]) < QUESTIONS * ANSWERED_MIN:
        raise SystemExit(f"dnsperf: {said}")
    asked.rates.append(float(rate[1]))
    asked.cpu_us.append((cpu_seconds(server.pid) - before) * 1e6 / QUESTIONS)


def _dnsperf(server: Responder, questions: Path, client: str, *more: str) -> str:
    command = [
        *(find_program("dnsperf"), "-s", LOOPBACK, "-p", str(server.port), "-a", client),
        *("-d", str(questions), "-n", "1", "-t", "1", *more),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _judge(found: dict[str, Asked]) -> Iterator[Result]:
    rates = [median(found[who].rates) for who in ("box", "dnsmasq")]
    what = "own answers a second"
    yield bound("P7.own", what, rates[0], at_least=OWN_GOAL, theirs=rates[1])
    added = [_added_ms(found, who) for who in ("box", "dnsmasq")]
    what = "forwarding adds, p50, ms"
    yield bound("P7.added", what, added[0], at_most=ADDED_GOAL_MS, theirs=added[1])


def _added_ms(found: dict[str, Asked], who: str) -> float:
    return median(found[who].late_ms) - median(found["upstream"].late_ms)


def _tabulate(found: dict[str, Asked]) -> Table:
    rows: list[Sequence[str | float | None]] = [
        (
            who,
            median(asked.rates) if asked.rates else None,
            sum(asked.cpu_us) / len(asked.cpu_us) if asked.cpu_us else None,
            *(percentile(asked.late_ms, share) for share in (0.5, 0.9, 0.99)),
        )
        for who, asked in found.items()
    ]
    headings = ("", "own a second", "CPU µs each", "forwarded p50, ms", "p90", "p99")
    return Table(headings, rows)


@contextlib.contextmanager
def _run_dnsmasq(port: int, *options: str) -> Iterator[Responder]:
    """One that reads no file of the machine's, and keeps no answer: each is forwarded."""
    command = [
        *(find_program("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts"),
        *("--no-resolv", "--cache-size=0", "--user=", "--pid-file=", f"--port={port}"),
        *("--bind-interfaces", f"--listen-address={LOOPBACK}", "--dns-forward-max=1000", *options),
    ]
    with running(command) as process:
        _wait_for_answer(port)
        yield Responder(process.pid, port)


def _wait_for_answer(port: int) -> None:
    """Ask for the root until somebody answers."""
    question = bytes.fromhex("0001010000010000000000000000020001")
    until = time.monotonic() + _WAIT_SECONDS
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect((LOOPBACK, port))
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                sock.send(question)
                sock.recv(512)
                return
    raise SystemExit(f"nobody answers on port {port}")
