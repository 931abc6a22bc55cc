"""The showing: machines with addresses of their own pull from a real box until told to stop."""

import asyncio
import json
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from appliance.demo.play import DiskShortError
from appliance.demo.showing import PARTS, Showing, show
from appliance.demo.stage import Stage


async def _forget_nothing(state_dir: Path, model: str) -> None:
    """As where every model is in use."""


@pytest.mark.journey
async def test_machines_pull_and_the_page_shows_who(tmp_path: Path) -> None:
    forgotten: asyncio.Queue[str] = asyncio.Queue()
    opened: list[Stage] = []

    async def forget(state_dir: Path, model: str) -> None:
        forgotten.put_nowait(model)

    machines = ("127.0.0.31", "127.0.0.32")
    showing = Showing(
        5_000_000, None, {}, forget, machines, pause_seconds_max=0.05, forget_seconds=0.2
    )
    seen: set[str] = set()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(show(tmp_path, showing, time.time, lambda _: None, opened.append))
        async with asyncio.timeout(60):
            while not seen >= {*machines}:
                await asyncio.sleep(0.05)
                if opened:
                    seen |= await asyncio.to_thread(_done, opened[0].box.web_url)
            assert await forgotten.get() in PARTS
        task.cancel()


def _done(url: str) -> set[str]:
    """The machines that have pulled a whole model."""
    with urlopen(f"{url}/api/sessions", timeout=10) as answer:
        told = json.load(answer)["recent_sessions"]
    return {each["client_ip"] for each in told if each["state"] == "done"}


async def test_too_small_a_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    showing = Showing(2**50, None, {}, _forget_nothing)
    with pytest.raises(DiskShortError, match=r"the demo needs .* TiB"):
        await show(tmp_path, showing, time.time, lambda _: None, lambda _: None)
