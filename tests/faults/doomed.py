"""The real box with a death laid up for it: a launcher for BoxProcess.

    python -m tests.faults.doomed DEATHS DOOM COMMAND…

DOOM is `commit:STEP`, `publish:STEP` or `withdraw:STEP`: it is killed by its own SIGKILL when that
step of a large blob's commit, a model's publication or a withdrawal is done. Or it is
`after:SECONDS` from its start, whatever it does then. A line in the file DEATHS tells that it came
to that. What the box does for its own tiny model does not count.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from appliance.cli import main
from appliance.store.manifests import PublishStep
from appliance.store.pending import CommitStep, PendingBlob
from appliance.store.records import BlobRecord, TagRecord
from appliance.store.shelf import WithdrawStep
from appliance.store.store import Store
from appliance.upstream.builtin import BUILTIN

STEPS: dict[str, type[Enum]] = {
    "commit": CommitStep,
    "publish": PublishStep,
    "withdraw": WithdrawStep,
}
DOOMS = [f"{deed}:{step.name}" for deed, steps in STEPS.items() for step in steps]
LARGE_BYTES_MIN = 1_000_000


def die(deaths: Path, doom: str) -> None:
    """Leave a line, and end as the kernel ends a process."""
    with deaths.open("a") as file:
        file.write(f"{doom}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def lay_up(deaths: Path, doom: str) -> None:
    """Have this process die of `doom`."""
    deed, _, when = doom.partition(":")
    if deed == "after":
        timer = threading.Timer(float(when), die, (deaths, doom))
        timer.daemon = True
        timer.start()
        return

    def on_step(step: Enum) -> None:
        if step.name == when:
            die(deaths, doom)

    {"commit": _lay_up_commit, "publish": _lay_up_publish, "withdraw": _lay_up_withdraw}[deed](
        on_step
    )


def _lay_up_commit(on_step: Callable[[Enum], None]) -> None:
    commit = PendingBlob.commit

    def observed(self: PendingBlob, **given: Any) -> BlobRecord:
        if self.size_bytes >= LARGE_BYTES_MIN:
            given["on_step"] = on_step
        return commit(self, **given)

    PendingBlob.commit = observed  # type: ignore[method-assign]


def _lay_up_publish(on_step: Callable[[Enum], None]) -> None:
    write_manifest = Store.write_manifest

    async def observed(self: Store, record: TagRecord, content: bytes, **given: Any) -> None:
        if record.reference.repository != BUILTIN.repository:
            given["on_step"] = on_step
        await write_manifest(self, record, content, **given)

    Store.write_manifest = observed  # type: ignore[method-assign]


def _lay_up_withdraw(on_step: Callable[[Enum], None]) -> None:
    withdraw = Store.withdraw

    def observed(*given: Any, **_: Any) -> None:
        withdraw(*given, on_step=on_step)

    Store.withdraw = observed  # type: ignore[method-assign]


if __name__ == "__main__":
    lay_up(Path(sys.argv[1]), sys.argv[2])
    sys.exit(main(sys.argv[sys.argv.index("run") :]))
