"""`ollama-appliance scrub`: read again what is held, and have what went bad fetched again."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.watching import watching
from appliance.cli.wishes import add_json, wish
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "scrub", help="read what is held again, and fetch again the 16 MiB in which a byte is wrong"
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="only this one")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Scrub; 0 where all is right now."""
    with watching(args, "scrub") as here:
        answer = wish(args, "scrub", {"model": args.model}, tell, here)
    return 0 if answer is not None and all(each["mended"] for each in answer["damaged"]) else 1


def tell(answer: Any) -> Iterator[str]:
    """Lines for a person."""
    for each in answer["damaged"]:
        end = "mended" if each["mended"] else "out of service until the origin gives them again"
        yield f"{each['digest']}: {format_size(each['bad_bytes'])} were wrong; {end}"
    read = f"{answer['blob_count']} blobs, {format_size(answer['read_bytes'])} read"
    count = len(answer["damaged"])
    yield f"{read}: {f'{count} damaged' if count else 'nothing is wrong'}"
