"""The running box as one value."""

from contextlib import AsyncExitStack
from pathlib import Path

from appliance.startup import start
from tests.appliance.boxes import make_config


async def test_what_nobody_learnt_is_no_truth(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        box = await start(stack, make_config(tmp_path / "state"), lambda line: None)
        assert box.truth() == ()
