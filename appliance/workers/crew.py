"""The box's side of its workers: start them, serve their lines, check them, end them."""

import asyncio
import logging
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Self

from appliance.certs import Leaf
from appliance.policy.health import Check
from appliance.self_pull import SelfPullError
from appliance.workers.desk import Desk
from appliance.workers.lines import Line, LineGoneError, open_line
from appliance.workers.words import WorkerSettings, format_settings

START_SECONDS = 30.0  # A worker takes one second; a small board that starts several at once, more.
STOP_SECONDS = 8.0  # They drain for five, as the box itself does.
CHECK_SECONDS = 60.0  # As often as the box pulls through itself.
RESTART_SECONDS_MIN, RESTART_SECONDS_MAX = 0.5, 30.0
STEADY_SECONDS = 60.0  # Having lived so long, it starts over with the shortest delay.

_IMPORT_ROOT = Path(__file__).parents[2]
_BACKLOG = 16  # Of the port that only checks use.
_log = logging.getLogger("workers")


@dataclass(frozen=True, slots=True)
class Handout:
    """What every worker is given. `pull_at` pulls the box's own model by an https port."""

    settings: WorkerSettings
    sockets: Sequence[socket.socket]
    leaf: Callable[[], Leaf]
    desk: Desk
    address: str
    pull_at: Callable[[int], Awaitable[object]]


@dataclass
class Place:
    """One worker's place in the crew: who has it now, and how it was found."""

    own: socket.socket  # Listens on the port by which this worker alone is reached.
    process: Process | None = None
    told: Leaf | None = None
    check: Check = field(default_factory=lambda: Check(is_ok=False, detail="not checked yet"))

    @property
    def port(self) -> int:
        return int(self.own.getsockname()[1])

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None


class Crew:
    """`count` workers, which run while this is entered."""

    def __init__(self, count: int, handout: Handout) -> None:
        self._handout = handout
        self._count = count
        self.places: list[Place] = []
        self._group = asyncio.TaskGroup()
        self._keepers: list[asyncio.Task[None]] = []
        self._controls: dict[int, Line] = {}
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Start them, and wait until each listens or has failed to."""
        await self._group.__aenter__()
        self.places += [Place(_listen_at(self._handout.address)) for _ in range(self._count)]
        begun = [asyncio.Event() for _ in self.places]
        for number, event in enumerate(begun):
            self._keepers.append(self._group.create_task(self._keep(number, event)))
        for event in begun:
            await event.wait()
        self._keepers.append(self._group.create_task(self._check_up()))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Have them drain; lines are served until they have."""
        self._stopping.set()
        self._keepers[-1].cancel()
        for control in self._controls.values():
            control.tell({"stop": True})
        await asyncio.wait(self._keepers, timeout=STOP_SECONDS)
        for place in self.places:
            _kill(place)
        for keeper in self._keepers:
            keeper.cancel()
        await self._group.__aexit__(None, None, None)
        for place in self.places:
            place.own.close()

    def look(self) -> Check:
        """What the last pull through each worker came to."""
        failed = [place.check for place in self.places if not place.check.is_ok]
        if failed:
            return failed[0]
        return Check(is_ok=True, detail=f"{len(self.places)} workers serve https, too")

    async def _keep(self, number: int, begun: asyncio.Event) -> None:
        """Have a process in this place, again and again."""
        delay_seconds = RESTART_SECONDS_MIN
        while not self._stopping.is_set():
            born_at = monotonic()
            await self._live(number, begun)
            begun.set()
            if self._stopping.is_set():
                return
            self._find(number, None, "it ended; the next one starts soon")
            if monotonic() - born_at >= STEADY_SECONDS:
                delay_seconds = RESTART_SECONDS_MIN
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_seconds):
                    await self._stopping.wait()
            delay_seconds = min(2 * delay_seconds, RESTART_SECONDS_MAX)

    async def _live(self, number: int, begun: asyncio.Event) -> None:
        """One process, from its start to its end."""
        place = self.places[number]
        place.process = None
        control, there = open_line()
        try:
            with there:
                place.process = await _spawn(there.fileno())
            await self._hand_out(place, control)
            async with asyncio.timeout(START_SECONDS):
                await self._hear(control)
            self._controls[number] = control
            if self._stopping.is_set():
                control.tell({"stop": True})
            begun.set()
            while True:
                await self._hear(control)
        except (LineGoneError, OSError, TimeoutError):
            pass  # It has ended, or could not be started: `_keep` says so.
        finally:
            self._controls.pop(number, None)
            _kill(place)
            control.close()
            if place.process is not None:
                await place.process.wait()

    async def _hand_out(self, place: Place, control: Line) -> None:
        for each in (*self._handout.sockets, place.own):
            await control.send({"socket": True}, fd=each.fileno())
        place.told = self._handout.leaf()
        await control.send({"leaf": True}, place.told.pem)
        await control.send(format_settings(self._handout.settings))

    async def _hear(self, control: Line) -> None:
        """Wait for its next words: that it listens, or a new line to serve."""
        message = await control.receive()
        if "line" in message.words:
            line = Line(socket.socket(fileno=message.take_fd()))
            self._group.create_task(self._handout.desk.serve(line))

    async def _check_up(self) -> None:
        while True:
            for number in range(len(self.places)):
                await self._check(number)
            await asyncio.sleep(CHECK_SECONDS)

    async def _check(self, number: int) -> None:
        """Pull through one worker; end it if that fails, for the next one to be better."""
        place, control = self.places[number], self._controls.get(number)
        if control is None:
            return
        pid = place.pid
        try:
            if place.told is not (leaf := self._handout.leaf()):
                await control.send({"leaf": True}, leaf.pem)
                place.told = leaf
            await self._handout.pull_at(place.port)
        except (SelfPullError, LineGoneError) as error:
            self._find(number, pid, str(error))
            if place.pid == pid:
                _kill(place)
            return
        place.check = Check(is_ok=True, detail=f"worker {number + 1} serves https")

    def _find(self, number: int, pid: int | None, what: str) -> None:
        place = self.places[number]
        place.check = Check(is_ok=False, detail=f"worker {number + 1}: {what}")
        _log.error("worker %d (process %s): %s", number + 1, pid or "-", what)


def _listen_at(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.create_server((address, 0), family=family, backlog=_BACKLOG)
    listening.setblocking(False)
    return listening


async def _spawn(control_fd: int) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance.workers", str(control_fd)),
        pass_fds=(control_fd,),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,  # What is said there is the box's to say.
        cwd=_IMPORT_ROOT,
    )


def _kill(place: Place) -> None:
    if place.pid is not None and place.process is not None:
        with suppress(ProcessLookupError):
            place.process.kill()
