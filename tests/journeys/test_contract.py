"""Whatever the API's description allows to be asked, no answer is a failure of the box.

Here each route is asked for the edges of what it takes, the same in every run; `make contract` asks
for what lies between, too.
"""

from pathlib import Path

import pytest

from tests.journeys.conftest import open_scene
from tests.journeys.contract import MIN_FREE, ask_everything

pytestmark = [pytest.mark.journey, pytest.mark.timeout(120)]


async def test_no_answer_to_what_the_description_allows_is_a_failure(home: Path) -> None:
    async with open_scene(home, settings={"CACHE_MIN_FREE": MIN_FREE}) as scene:
        outcome = await ask_everything(scene, "--phases", "coverage", "--generation-deterministic")
        report = outcome.out.decode("utf-8", "replace")
        assert outcome.code == 0, report + outcome.err
        assert "No issues found" in report
        paths = (await scene.ask("/api/openapi.json"))["paths"]
        count = sum(len(operations) for operations in paths.values())
        assert f"Tested: {count - 2}" in report  # Not the endless one, nor the description itself.
        assert (await scene.ask("/health"))["status"] != "unhealthy"
