"""What the verbs that change the store share: how a wish is sent, and how its end is told."""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from appliance.cache.janitor import PinnedError, UnknownModelError
from appliance.cli.showing import tell_fault
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, BoxRefusesError
from appliance.store.faults import StoreError
from appliance.upkeep import ModelNameError, Upkeep, perform

FAULTS = (
    ConfigInvalidError,
    BoxNotRunningError,
    BoxRefusesError,
    ModelNameError,
    PinnedError,
    StoreError,
    UnknownModelError,
)

type Tell = Callable[[Any], Iterable[str]]


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add `--dry-run`."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would go")


def wish(
    args: argparse.Namespace,
    verb: str,
    wishes: Mapping[str, Any],
    tell: Tell,
    here: Callable[[Upkeep], None] | None = None,
) -> Any:
    """Have it done and print how it went; the box's answer, or None where it was refused.

    `here` is told who does it, where that is this process.
    """
    try:
        config = load_config(args.config, read_environment())
        answer = perform(config.state_dir, verb, wishes, here, config.box.mount_point)
    except FAULTS as fault:
        tell_fault(fault)
        return None
    print(json.dumps(answer, indent=2) if args.json else "\n".join(tell(answer)))
    return answer
