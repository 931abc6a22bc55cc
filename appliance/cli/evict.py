"""`ollama-appliance evict`: free space now, by what was not pulled for longest."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.wishes import add_dry_run, add_json, wish
from appliance.config.values import parse_amount
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("evict", help="let go of what was not pulled for longest")
    parser.add_argument("size", metavar="SIZE", type=read_size, help="how much to free: 20GiB")
    add_dry_run(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def read_size(text: str) -> int:
    """A number of bytes. Raises ValueError, as argparse wants it."""
    amount = parse_amount(text)
    if amount.unit == "%":
        raise ValueError("a part of what?")
    return amount.bytes_of(0)


def run(args: argparse.Namespace) -> int:
    """Evict; 0 if so much is free now, or would be."""

    def tell(answer: Any) -> Iterator[str]:
        for model in answer["models"]:
            yield f"{'would let go of' if args.dry_run else 'let go of'} {model}"
        done = "would free" if args.dry_run else "freed"
        yield f"{done} {format_size(answer['freed_bytes'])}"
        if answer["freed_bytes"] < args.size:
            yield "the rest is pinned, or in use"

    answer = wish(args, "evict", {"bytes": args.size, "dry_run": args.dry_run}, tell)
    return 0 if answer is not None and answer["freed_bytes"] >= args.size else 1
