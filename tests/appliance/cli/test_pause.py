"""`pause` and `resume`, as they are typed beside a running box, and beside none."""

import asyncio
from pathlib import Path

import pytest

from appliance.cli import pause
from tests.appliance.boxes import make_config, running_box
from tests.appliance.cli.wishing import invoke


async def test_a_running_box_pauses_and_goes_on(
    state_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_box(make_config(state_dir)):
        codes = [
            await asyncio.to_thread(invoke, pause, verb) for verb in ("pause", "pause", "resume")
        ]
    assert codes == [0, 0, 0]
    first, again, gone_on = capsys.readouterr().out.splitlines()
    assert "are paused, also over restarts" in first
    assert "were paused already" in again
    assert gone_on == "0 unfinished blobs go on"


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_without_a_box_there_is_nothing_to_pause(
    state_dir: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert invoke(pause, verb) == 1
    assert "no box answers" in capsys.readouterr().err
