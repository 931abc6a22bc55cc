"""kill -9 of the real box in the middle of what it does to the disk, life after life.

The riskiest steps; the store alone is killed at every one of them in test_killed.py, and the box at
all of them, and at any moment, by `make crash`.
"""

from pathlib import Path
from random import Random

import pytest

from tests.faults.doomed import DOOMS
from tests.faults.lives import open_lives

RISKIEST = ["commit:CHECKSUMMED", "commit:RENAMED", "publish:TAG_WRITTEN", "withdraw:FORGOTTEN"]

pytestmark = [pytest.mark.slow, pytest.mark.fault, pytest.mark.journey]


@pytest.mark.timeout(180)
async def test_a_box_killed_again_and_again_loses_nothing_it_had(tmp_path: Path) -> None:
    async with open_lives(tmp_path, Random(6)) as lives:
        for doom in RISKIEST:
            await lives.live(doom)
    assert lives.deaths == RISKIEST
    assert set(RISKIEST) < set(DOOMS)
