"""A bar for what takes long: how far the running box is with it, or this very process."""

import argparse
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress

from appliance.cli.showing import showing_progress
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box
from appliance.upkeep import Upkeep

TICK_SECONDS = 0.5  # Between two looks at how far it is.

type Here = Callable[[Upkeep], None]


@contextmanager
def watching(args: argparse.Namespace, verb: str) -> Iterator[Here]:
    """Show a bar on a terminal while this is entered; gives what is told who does it here."""
    here: list[Upkeep] = []
    with showing_progress() as progress:
        if progress is None:
            yield here.append
            return
        over = threading.Event()
        look = make_look(args, verb, here)
        thread = threading.Thread(target=_show, args=(progress, look, over), daemon=True)
        thread.start()
        try:
            yield here.append
        finally:
            over.set()
            thread.join()


def make_look(
    args: argparse.Namespace, verb: str, here: list[Upkeep]
) -> Callable[[], dict[str, Any] | None]:
    """How far it is: `read_bytes` and `total_bytes`; None where nobody knows."""

    def look() -> dict[str, Any] | None:
        if here:
            return here[0].progress(verb)
        try:
            state_dir = load_config(args.config, read_environment()).state_dir
            asked: dict[str, Any] | None = call_box(state_dir, verb)["asked"]
        except (BoxNotRunningError, ConfigInvalidError):
            return None  # The deed itself tells why.
        return asked

    return look


def _show(
    progress: Progress, look: Callable[[], dict[str, Any] | None], over: threading.Event
) -> None:
    bar = progress.add_task("read", total=None)
    while not over.wait(TICK_SECONDS):
        if (asked := look()) is not None:
            progress.update(bar, completed=asked["read_bytes"], total=asked["total_bytes"])
