"""A real box's API, asked by schemathesis for all that its own description allows, and more.

`python -m tests.journeys.contract` does that at length, with an admin's token; `-n` is how many
times each route is asked. `test_contract.py` does a little of it in every run.
"""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from appliance.control import wish_of_box
from tests.journeys.conftest import Outcome, Scene, open_scene, run

PROGRAM = Path(sys.executable).with_name("schemathesis")
ENDLESS = "/api/events"  # It tells for as long as somebody listens.
EXAMPLES = 200
MIN_FREE = "64MiB"  # Any disk that a test runs on has that.


async def ask_everything(scene: Scene, *words: str) -> Outcome:
    """Have schemathesis ask every route, as an admin; its report is `out`, and its code 1 if any
    answer was a failure of the box. `words` are more options of its own.
    """
    box = scene.stage.box
    wish = {"name": "schemathesis", "role": "admin", "seconds": 3600}
    token = (await wish_of_box(box.state_directory, "token-create", wish))["token"]
    return await run(
        PROGRAM,
        *("run", f"{box.web_url}/api/openapi.json", "--exclude-path", ENDLESS),
        *("--checks", "not_a_server_error", "--header", f"Authorization: Bearer {token}"),
        *("--suppress-health-check", "all", "--warnings", "off"),
        *("--request-timeout", "30", "--continue-on-failure", "--no-color", *words),
    )


async def main(words: Sequence[str]) -> int:
    """Print what schemathesis says; its exit code."""
    with tempfile.TemporaryDirectory(prefix="box-") as directory:
        async with open_scene(Path(directory), settings={"CACHE_MIN_FREE": MIN_FREE}) as scene:
            given = words or ("-n", str(EXAMPLES))
            outcome = await ask_everything(scene, "--phases", "coverage,fuzzing", *given)
    sys.stdout.write(outcome.out.decode("utf-8", "replace") + outcome.err)
    return outcome.code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
