"""Keeps the box going: checks it, beats its heart, says when it is ready, stops it in order.

Theory of operation. The heart tells DNS twice a second that the box lives and whether it is
healthy. When it stops, because the process died or its loop hangs, and when a self-pull fails, DNS
gives the registry's true address instead: a broken box costs speed and never a pull. So it does
when a door does not open: the door watch rings them all, about once a second. The first self-pull
decides when the box is `ready`; one that fails is said and tried again, as soon as a door opens or
closes. The service manager hears of each beat too, and restarts a box whose loop hangs.

Nothing is looked for among the objects of modules and settings: the collector of cycles begins when
the box is up, and leaves out what is there by then. Else each of its rounds would hold up the loop
for all of them.
"""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import uvloop

from appliance.box import Box
from appliance.config import Config
from appliance.doorwatch import RING_SECONDS
from appliance.ground import Say
from appliance.notify import Notifier
from appliance.policy.addresses import AddressRefusedError
from appliance.reception import make_control
from appliance.standin import DISK_FAULTS, stand_in
from appliance.startup import start
from appliance.upstream.resolver import NameUnresolvableError
from appliance.web.next_steps import describe_next_steps

BEAT_SECONDS = 0.5  # DNS fails open after two seconds of silence.
CHECKUP_SECONDS = 60.0  # A self-pull costs milliseconds; a broken box is noticed in a minute.
RECHECK_SECONDS = 5.0  # And a mended one at once.
TRUTH_SECONDS = 30.0  # How old the registry's address may be when DNS comes to need it.
LEAF_SECONDS = 3600.0  # A leaf that is due has weeks left.

_log = logging.getLogger("box")


def run(config: Config, say: Say) -> None:
    """Run a box until SIGTERM or SIGINT. `say` gets what a person should read, line by line.

    Raises one of START_FAULTS when the box cannot start.
    """
    uvloop.run(_run(config, say))


async def _run(config: Config, say: Say) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        manager = Notifier(os.environ.get("NOTIFY_SOCKET", ""))
        box = await _start_with_disk(stack, config, say, manager, stopping)
        if box is None:
            return
        await stack.enter_async_context(make_control(box))
        box.checkup.on_sound = lambda: _beat_once(box, is_healthy=box.checkup.is_sound)
        async with asyncio.TaskGroup() as group:
            chores = [group.create_task(each) for each in _chores(box, say, manager)]
            await stopping.wait()
            manager.tell("STOPPING=1")
            say("stopping: no new connections; what is under way has a few seconds")
            for chore in chores:
                chore.cancel()
        _beat_once(box, is_healthy=False)


async def _start_with_disk(
    stack: AsyncExitStack, config: Config, say: Say, manager: Notifier, stopping: asyncio.Event
) -> Box | None:
    """Start the box, once its disk is there; None where it is to stop before that."""
    while not stopping.is_set():
        try:
            box = await start(stack, config, say)
        except DISK_FAULTS as fault:
            _collect_from_now_on()
            await stand_in(config, fault, say, manager, stopping)
        else:
            _collect_from_now_on()
            return box
    return None


def _collect_from_now_on() -> None:
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _chores(box: Box, say: Say, manager: Notifier) -> tuple[Any, ...]:
    is_due = asyncio.Event()
    return (
        _repeat(BEAT_SECONDS, lambda: _beat_once(box, is_healthy=box.checkup.is_sound)),
        _repeat(BEAT_SECONDS, lambda: manager.tell("WATCHDOG=1")),
        _watch_doors(box, is_due),
        _repeat(LEAF_SECONDS, box.ground.leaf.renew_when_due),
        _learn_truth(box),
        _check_up(box, say, manager, is_due),
    )


async def _repeat(seconds: float, chore: Callable[[], None]) -> None:
    while True:
        try:
            chore()
        except Exception:  # noqa: BLE001  # Without its heart DNS fails open, and clients leave.
            _log.exception("something that is done now and then failed; the box goes on")
        await asyncio.sleep(seconds)


def _beat_once(box: Box, *, is_healthy: bool) -> None:
    if box.engine.responder is not None:
        box.engine.responder.beat(is_healthy=is_healthy, truth=box.truth())


async def _learn_truth(box: Box) -> None:
    """Keep the registry's true address at hand for DNS."""
    config, told = box.ground.config, ""
    while box.engine.responder is not None and not config.cache.offline:
        try:
            await box.engine.resolver.resolve(config.origin.name)
        except (NameUnresolvableError, AddressRefusedError) as error:
            if str(error) != told:
                told = str(error)
                _log.warning("the true address of %s is not known: %s", config.origin.name, told)
        await asyncio.sleep(TRUTH_SECONDS)


async def _watch_doors(box: Box, is_due: asyncio.Event) -> None:
    """Ring the doors again and again; where that finds anything new, DNS is told at once."""
    while True:
        if await box.doors.ring():
            _beat_once(box, is_healthy=box.checkup.is_sound)
            is_due.set()
        await asyncio.sleep(RING_SECONDS)


async def _check_up(box: Box, say: Say, manager: Notifier, is_due: asyncio.Event) -> None:
    """Check the box again and again; say when it is ready, and when that changes."""
    was_ok: bool | None = None
    while True:
        check = await box.checkup.run()
        if was_ok is None and check.is_ok:
            say(f"self-check: {check.detail}")
            for line in describe_next_steps(box.facts):
                say(line)
            say("ready")
            _resume(box, say)
        elif not check.is_ok:
            _log.error("self-check failed, DNS sends clients to the origin: %s", check.detail)
        elif was_ok is False:
            _log.info("self-check passed again: %s", check.detail)
        was_ok = check.is_ok or (None if was_ok is None else False)
        # Also where it failed: a box that is not yet ready is up, and not to be restarted.
        manager.tell("READY=1", f"STATUS={check.detail}")
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECKUP_SECONDS if check.is_ok else RECHECK_SECONDS):
                await is_due.wait()
        is_due.clear()


def _resume(box: Box, say: Say) -> None:
    """Let downloads go on that an earlier life began, whether or not a client still waits."""
    count = 0 if box.ground.config.cache.offline else box.engine.cache.resume()
    if count:
        say(f"going on with {count} unfinished download{'s' if count > 1 else ''}")
