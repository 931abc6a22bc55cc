"""`ollama-appliance learnt`: which blob URLs clients left alone, and forgetting that."""

import argparse
import asyncio
import json
import time
from typing import Any

from rich.table import Table

from appliance.cli.showing import make_console, tell_fault
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box, wish_of_box
from appliance.policy.learning import Learning
from appliance.store.faults import StoreError
from appliance.store.store import open_store
from appliance.web.learnt import FORGET_LEARNT, describe_lessons

# What `missed` says, for people.
URLS = {
    "redirect": "plain http",
    "tls": "https, blob host",
    "location": "https, registry's name",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("learnt", help="which blob URLs clients left alone")
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.add_argument("--clear", action="store_true", help="forget all of it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List what was learnt, or what was forgotten."""
    try:
        config = load_config(args.config, read_environment())
        lessons = clear_lessons(config) if args.clear else read_lessons(config)
    except (ConfigInvalidError, StoreError) as fault:
        return tell_fault(fault)
    if args.json:
        print(json.dumps(lessons, indent=2))
    elif args.clear:
        print(f"forgotten: {len(lessons)}")
    elif not lessons:
        print("nothing learnt: every client fetched from the URL that it was given")
    else:
        make_console().print(make_table(lessons))
    return 0


def read_lessons(config: Config) -> list[dict[str, Any]]:
    """Ask the running box; with none running, take its lock and look. Raises StoreError."""
    try:
        lessons: list[dict[str, Any]] = call_box(config.state_dir, "learnt")
    except BoxNotRunningError:
        return _read_stored(config, is_cleared=False)
    return lessons


def clear_lessons(config: Config) -> list[dict[str, Any]]:
    """The same, and make the box forget them. Raises StoreError."""
    try:
        lessons: list[dict[str, Any]] = asyncio.run(
            wish_of_box(config.state_dir, FORGET_LEARNT, {})
        )
    except BoxNotRunningError:
        return _read_stored(config, is_cleared=True)
    return lessons


def _read_stored(config: Config, *, is_cleared: bool) -> list[dict[str, Any]]:
    if not config.state_dir.exists():
        return []
    with open_store(config.state_dir, mount_point=config.box.mount_point) as store:
        lessons = Learning(store.lessons()).current(time.time())
        if is_cleared:
            store.replace_lessons({})
    return describe_lessons(lessons)


def make_table(lessons: list[dict[str, Any]]) -> Table:
    """A table for a person."""
    table = Table(box=None, header_style="bold")
    for column in ("CLIENT", "OLLAMA", "LEFT ALONE", "UNTIL"):
        table.add_column(column)
    for lesson in lessons:
        url = URLS.get(lesson["missed"], lesson["missed"])
        table.add_row(lesson["client"], lesson["version"] or "unknown", url, lesson["until"])
    return table
