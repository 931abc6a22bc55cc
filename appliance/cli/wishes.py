"""What the verbs that change the store share: how a wish is sent, and how its end is told."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from appliance.cache.janitor import PinnedError, UnknownModelError
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, BoxRefusesError
from appliance.store.faults import StoreError
from appliance.upkeep import ModelNameError, perform

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


def wish(args: argparse.Namespace, verb: str, wishes: Mapping[str, Any], tell: Tell) -> Any:
    """Have it done and print how it went; the box's answer, or None where it was refused."""
    try:
        config = load_config(args.config, read_environment())
        answer = perform(config.state_dir, verb, wishes, config.box.mount_point)
    except FAULTS as fault:
        print(f"ollama-appliance: {fault}\n  {fault.hint}", file=sys.stderr)
        return None
    print(json.dumps(answer, indent=2) if args.json else "\n".join(tell(answer)))
    return answer
