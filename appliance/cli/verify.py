"""`ollama-appliance verify`: read everything that is held, and tell what is wrong with it."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.watching import watching
from appliance.cli.wishes import add_json, wish
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "verify", help="read every blob and check it against its digest; takes as long as that"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify; 0 where nothing is wrong."""
    with watching(args, "verify") as here:
        answer = wish(args, "verify", {}, tell, here)
    return 0 if answer is not None and not answer["problems"] else 1


def tell(answer: Any) -> Iterator[str]:
    """Lines for a person."""
    yield from answer["problems"]
    read = f"{answer['blob_count']} blobs, {format_size(answer['read_bytes'])} read"
    count = len(answer["problems"])
    yield f"{read}: {'nothing is wrong' if not count else f'{count} problems'}"
