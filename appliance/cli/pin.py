"""`ollama-appliance pin` and `unpin`: which models are never let go of."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.wishes import add_json, wish


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both verbs to the command line."""
    for verb, what in (
        ("pin", "never let go of a model, whatever else comes"),
        ("unpin", "let it go again when its turn comes"),
    ):
        parser = subparsers.add_parser(verb, help=what)
        parser.add_argument("model", metavar="MODEL", help="such as llama3.2:1b")
        add_json(parser)
        parser.set_defaults(run=run, verb=verb)


def run(args: argparse.Namespace) -> int:
    """Pin or unpin; 0 if that is so now."""

    def tell(answer: Any) -> Iterator[str]:
        if args.verb == "unpin":
            what = "is pinned no more" if answer["was_pinned"] else "was not pinned"
            yield f"{args.model} {what}"
        elif answer["held"]:
            yield f"{args.model} is pinned"
        else:
            yield f"{args.model} is pinned, and stays once it is here: it was not pulled yet"

    return 1 if wish(args, args.verb, {"model": args.model}, tell) is None else 0
