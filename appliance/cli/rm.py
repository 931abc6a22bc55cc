"""`ollama-appliance rm`: let go of one model."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.wishes import add_dry_run, add_json, wish
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("rm", help="let go of a model")
    parser.add_argument("model", metavar="MODEL", help="such as llama3.2:1b")
    add_dry_run(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Remove it; 0 if it is gone, or would be."""

    def tell(answer: Any) -> Iterator[str]:
        done = "would free" if args.dry_run else "freed"
        yield f"{args.model}: {done} {format_size(answer['freed_bytes'])}"
        if not answer["freed_bytes"]:
            yield "  other models have all its blobs, or somebody is pulling it"

    wishes = {"model": args.model, "dry_run": args.dry_run}
    return 1 if wish(args, "rm", wishes, tell) is None else 0
