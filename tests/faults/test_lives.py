"""kill -9 of the real box at every named step of what it does to the disk, life after life."""

from pathlib import Path
from random import Random

import pytest

from tests.faults.doomed import DOOMS
from tests.faults.lives import open_lives

pytestmark = [pytest.mark.fault, pytest.mark.journey]


@pytest.mark.timeout(180)
async def test_a_box_killed_at_every_step_loses_nothing_it_had(tmp_path: Path) -> None:
    async with open_lives(tmp_path, Random(6)) as lives:
        for doom in DOOMS:
            await lives.live(doom)
    assert lives.deaths == DOOMS
