"""The box's side of its DNS process: start it, keep it told, start it again, end it.

Theory of operation. The process lives by beats: the supervisor calls `beat` every half second, and
says with each whether the box can be relied on. A process that dies is started again after a delay
that doubles, on the same port. One that hangs is not waited for: what it does not read is not
written.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

from appliance.dns.settings import (
    Answered,
    Beat,
    Failure,
    Listening,
    Report,
    Settings,
    Stop,
    format_settings,
    format_word,
    parse_report,
)

START_SECONDS = 15.0  # A busy small board takes 1 to start Python; an orphan up to 5 to end.
STOP_SECONDS = 3.0  # It has nothing to finish.
RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
STEADY_SECONDS = 60.0  # Having lived so long, it starts over with the shortest delay.
UNREAD_SIZE_BYTES_MAX = 64 * 1024  # A minute of beats; then it hangs, and beats are dropped.

_IMPORT_ROOT = Path(__file__).parents[2]


class DnsUnavailableError(Exception):
    """The DNS process does not answer."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"DNS cannot start: {reason}")
        self.reason = reason
        self.hint = hint


class DnsResponder:
    """The DNS process, owned: it runs while this is entered."""

    def __init__(
        self, settings: Settings, note_question: Callable[[str], None] = lambda _: None
    ) -> None:
        """`note_question` is told, once a minute at most, of each client that is led to the box."""
        state_dir = str(Path(settings.state_dir).absolute())  # It starts in another directory.
        self._settings = replace(settings, state_dir=state_dir)
        self._note_question = note_question
        self._process: Process | None = None
        self._report = Listening(())
        self._group = asyncio.TaskGroup()
        self._keeper: asyncio.Task[None] | None = None
        self.fault: DnsUnavailableError | None = None
        """Why the last restart failed; None while it runs."""

    async def __aenter__(self) -> Self:
        """Start it and wait until it listens.

        Raises:
            DnsUnavailableError: it does not.
        """
        await self._start()
        await self._group.__aenter__()
        self._keeper = self._group.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self._group.__aexit__(None, None, None)  # Given the error, it would wrap it.
        if self._process is not None:
            await _stop(self._process)

    @property
    def listening(self) -> tuple[tuple[str, int], ...]:
        """Where it answers, as address and port."""
        return self._report.listening

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """What it could not use, each with the reason."""
        return self._report.skipped

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process as the system knows it, while it runs."""
        return self._process.pid if self._process is not None and self.is_alive else None

    def beat(self, *, is_healthy: bool, truth: Iterable[str]) -> None:
        """Tell it how the box is, and the origin's addresses; without waiting."""
        if self._process is not None and self.is_alive:
            _tell(self._process, format_word(Beat(is_healthy, tuple(truth))))

    async def _keep(self) -> None:
        """Follow what it says, and start it again whenever it has died."""
        delay_seconds = RESTART_SECONDS_MIN
        while True:
            born_at = monotonic()
            if self._process is not None:
                await self._follow(self._process)
            if monotonic() - born_at >= STEADY_SECONDS:
                delay_seconds = RESTART_SECONDS_MIN
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(2 * delay_seconds, RESTART_SECONDS_MAX)
            try:
                await self._start()
                self.fault = None
            except DnsUnavailableError as error:
                self.fault = error

    async def _follow(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            with suppress(ValueError):
                self._learn(parse_report(line))
        await process.wait()

    def _learn(self, report: Report) -> None:
        if isinstance(report, Listening):
            self._report = report
        elif isinstance(report, Answered):
            self._note_question(report.client)

    async def _start(self) -> None:
        self._process = None
        command = (sys.executable, "-m", "appliance.dns")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, cwd=_IMPORT_ROOT
        )
        try:
            self._report = await _first_report(process, self._settings)
        except BaseException:
            await _kill(process)
            raise
        self._settings = replace(self._settings, port=self._report.listening[0][1])
        self._process = process


async def _first_report(process: Process, settings: Settings) -> Listening:
    assert process.stdout is not None
    _tell(process, format_settings(settings))
    hint = f"see what it says: {sys.executable} -m appliance.dns"
    try:
        async with asyncio.timeout(START_SECONDS):
            report = parse_report(await process.stdout.readline())
    except TimeoutError:
        raise DnsUnavailableError(f"silent for {START_SECONDS:.0f} seconds", hint) from None
    except ValueError:
        raise DnsUnavailableError("its process ended at once", hint) from None
    if isinstance(report, Failure):
        raise DnsUnavailableError(report.error, report.hint)
    assert isinstance(report, Listening)
    return report


async def _stop(process: Process) -> None:
    """End it in order, or else by force."""
    if process.returncode is None:
        _tell(process, format_word(Stop()))
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        await _kill(process)


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _tell(process: Process, line: bytes) -> None:
    """Write to it, unless it has stopped reading."""
    assert process.stdin is not None
    transport = process.stdin.transport
    if not transport.is_closing() and transport.get_write_buffer_size() < UNREAD_SIZE_BYTES_MAX:
        process.stdin.write(line)
