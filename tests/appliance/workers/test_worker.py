"""A worker ends with its box, in order where it can. What it serves is tested by its crew."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

from appliance.workers.lines import Line, open_line
from appliance.workers.worker import run_worker

ROOT = Path(__file__).parents[3]


async def test_a_box_that_is_gone_before_it_has_spoken_ends_it() -> None:
    here, there = open_line()
    here.close()
    async with asyncio.timeout(5):
        await run_worker(Line(there))
    there.close()


def test_as_a_process_it_ends_when_its_line_does() -> None:
    here, there = open_line()
    command = [sys.executable, "-m", "appliance.workers", str(there.fileno())]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[there.fileno()]) as process:
        there.close()
        here.close()
        assert process.wait(20) == 0
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN  # Its own affair.
