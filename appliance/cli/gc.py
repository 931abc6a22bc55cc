"""`ollama-appliance gc`: let go of what no model needs any more."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.wishes import add_dry_run, add_json, wish
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "gc", help="let go of manifests that tags have left, and of blobs that no model lists"
    )
    add_dry_run(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Collect; 0 when done."""

    def tell(answer: Any) -> Iterator[str]:
        done = "would free" if args.dry_run else "freed"
        yield (
            f"{done} {format_size(answer['freed_bytes'])}: "
            f"{answer['blobs']} blobs, {answer['manifests']} manifests"
        )

    return 1 if wish(args, "gc", {"dry_run": args.dry_run}, tell) is None else 0
