"""The DNS process: what it is told, what it says, and how it outlives the box.

Theory of operation. The parent's words come over standard input: settings first, beats after. The
end of that input means that the parent is dead; DNS has then failed open, and goes on, until it is
told to end or the next box's DNS takes over the lock. An interrupt from the terminal reaches the
whole process group and is ignored here: the parent decides.
"""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from appliance.dns.answerer import Answerer
from appliance.dns.forwarder import Forwarder
from appliance.dns.lock import LockedError, lock_held
from appliance.dns.server import DnsServer
from appliance.dns.settings import (
    Answered,
    Failure,
    Listening,
    Report,
    Settings,
    Stop,
    format_report,
    parse_settings,
    parse_word,
)
from appliance.interfaces import read_gateways, read_interfaces
from appliance.policy.addresses import Interface, parse_address

RESCAN_SECONDS = 10.0  # An address that a lease or a plugged cable brought is answered at soon.


class Child:
    """The running process, once it has its settings and its lock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answerer = Answerer(settings, tell_use=lambda client: _say(Answered(client)))
        self._forwarder = Forwarder()
        self._server = DnsServer(self._answerer, self._forwarder, settings.port)
        self._said: Listening | None = None
        self._stopped = asyncio.Event()

    async def run(self, words: asyncio.StreamReader) -> Failure | None:
        """Answer until told to stop; or say why it cannot begin."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopped.set)
        async with self._server:
            await self._scan()
            if not self._server.listening:
                return _explain(self._server.failures, self._settings.port)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._listen_to(words)),
                    group.create_task(self._rescan()),
                ]
                await self._stopped.wait()
                for task in tasks:
                    task.cancel()
        return None

    async def _listen_to(self, words: asyncio.StreamReader) -> None:
        while line := await words.readline():
            with suppress(ValueError):  # A line that says nothing counts as silence.
                word = parse_word(line)
                if isinstance(word, Stop):
                    self._stopped.set()
                    return
                self._answerer.learn_beat(word)
        self._answerer.learn_death()

    async def _rescan(self) -> None:
        while True:
            await asyncio.sleep(RESCAN_SECONDS)
            await self._scan()

    async def _scan(self) -> None:
        """Follow the machine's addresses, and say so where that changed anything."""
        interfaces = read_interfaces()
        self._answerer.learn_interfaces(interfaces)
        resolvers = (host for host, _ in self._settings.upstream)
        self._answerer.learn_routers((*read_gateways().values(), *resolvers))
        await self._server.listen_at(choose_listening(self._settings.listen, interfaces))
        ours = _ours(interfaces, self._server.listening)
        self._forwarder.own = frozenset(address for address, _ in ours)
        self._forwarder.servers = tuple(
            (host, port)
            for host, port in self._settings.upstream
            if (str(parse_address(host)), port) not in ours
        )
        report = self._report()
        if report != self._said and report.listening:
            self._said = report
            _say(report)

    def _report(self) -> Listening:
        failed = tuple(
            (each, error.strerror or "") for each, error in self._server.failures.items()
        )
        loops = tuple(
            (f"{host} port {port}", "is this box: name another server in dns.upstream")
            for host, port in self._settings.upstream
            if (host, port) not in self._forwarder.servers
        )
        return Listening(self._server.listening, failed + loops)


def choose_listening(listen: Iterable[str], interfaces: Iterable[Interface]) -> tuple[str, ...]:
    """The addresses to bind; a wildcard, or nothing at all, stands for the machine's own."""
    machine = [each for interface in interfaces for each in interface.texts]
    wildcards = {
        "0.0.0.0": [each for each in machine if ":" not in each],  # noqa: S104  # Expanded.
        "::": [each for each in machine if ":" in each],
    }
    chosen = [address for each in listen for address in wildcards.get(each, [each])]
    return tuple(dict.fromkeys(chosen or machine))


def main() -> int:
    """Run the process; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_blocking(sys.stdout.fileno(), False)  # A parent that hangs must not stop us.
    failure = asyncio.run(_run())
    if failure is None:
        return 0
    _say(failure)
    return 1


async def _run() -> Failure | None:
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(words), sys.stdin
    )
    try:
        settings = parse_settings(await words.readline())
        child = Child(settings)
    except ValueError as error:
        return Failure(f"the settings cannot be used: {error}", "run the box, not this process")
    try:
        async with lock_held(Path(settings.state_dir)):
            return await child.run(words)
    except LockedError as error:
        return Failure(str(error), error.hint)
    except OSError as error:
        return Failure(
            f"{settings.state_dir}: {error.strerror}", "set box.state_dir to a directory of ours"
        )


def _ours(
    interfaces: Iterable[Interface], listening: Iterable[tuple[str, int]]
) -> frozenset[tuple[str, int]]:
    """Every way to reach ourselves: a question forwarded there would never end."""
    ports = {port for _, port in listening}
    own = {str(parse_address(text)) for each in interfaces for text in each.texts}
    own |= {str(parse_address(address)) for address, _ in listening}
    return frozenset((address, port) for address in own for port in ports)


def _explain(failures: dict[str, OSError], port: int) -> Failure:
    reasons = "; ".join(f"{each}: {error.strerror}" for each, error in failures.items())
    codes = {error.errno for error in failures.values()}
    if not failures:
        hint = "give this machine an address, or set box.listen"
    elif codes & {errno.EACCES, errno.EPERM}:
        hint = "run as root, or with CAP_NET_BIND_SERVICE, or set dns.port = 10053"
    elif errno.EADDRINUSE in codes:
        hint = f"see who has it (ss -lunp 'sport = :{port}'), or set dns.port or box.listen"
    else:
        hint = "set box.listen to addresses of this machine"
    return Failure(f"port {port} cannot be bound: {reasons or 'there is no address'}", hint)


def _say(report: Report) -> None:
    """Tell the parent, if it is there and listens."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), format_report(report))
