"""`ollama-appliance cache`: the verbs that ollama-lancache had, `stats` and `clear`."""

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from appliance.cli import stats
from appliance.cli.wishes import add_dry_run, add_json, wish
from appliance.web.sizes import format_size

EVERYTHING_BYTES = 2**62  # More than there is: nothing is spared for being small.


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("cache", help="what is held as a whole: its figures, its end")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    telling = actions.add_parser("stats", help="the same as `stats`")
    add_json(telling)
    telling.set_defaults(run=stats.run)
    clear = actions.add_parser(
        "clear", help="let go of every model that is neither pinned nor being pulled"
    )
    clear.add_argument("-y", "--yes", action="store_true", help="do not ask")
    add_dry_run(clear)
    add_json(clear)
    clear.set_defaults(run=run_clear)


def run_clear(args: argparse.Namespace) -> int:
    """Clear; 0 if all that may go is gone, or would be; 1 where nobody said yes."""
    if not (args.yes or args.dry_run):
        if args.json or not sys.stdin.isatty():
            told = "nobody is here to be asked: add --yes, or --dry-run to see what would go"
            print(f"ollama-appliance: {told}", file=sys.stderr)
            return 1
        asked = wish(args, "evict", {"bytes": EVERYTHING_BYTES, "dry_run": True}, _tell_planned)
        if asked is None or _is_nothing(asked):
            return 1 if asked is None else 0
        if not is_agreed():
            print("nothing was done", file=sys.stderr)
            return 1
    wishes = {"bytes": EVERYTHING_BYTES, "dry_run": args.dry_run}
    answer = wish(args, "evict", wishes, _tell_planned if args.dry_run else _tell_done)
    return 1 if answer is None else 0


def is_agreed() -> bool:
    """Ask on the terminal."""
    print("Let go of it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _is_nothing(answer: Any) -> bool:
    return not answer["manifests"] and not answer["blobs"]


def _tell_planned(answer: Any) -> Iterator[str]:
    if _is_nothing(answer):
        yield "nothing may go: what is held is pinned, or being pulled"
        return
    yield from (f"would let go of {model}" for model in answer["models"])
    yield f"would free {format_size(answer['freed_bytes'])}"


def _tell_done(answer: Any) -> Iterator[str]:
    yield from (f"let go of {model}" for model in answer["models"])
    yield f"freed {format_size(answer['freed_bytes'])}"
