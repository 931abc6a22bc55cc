"""`ollama-appliance pause` and `resume`: downloads that no machine waits for."""

import argparse
from collections.abc import Iterator
from typing import Any

from appliance.cli.wishes import add_json, wish


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add both verbs to the command line."""
    for verb, what in (
        ("pause", "download nothing that no machine waits for; pulls go on"),
        ("resume", "download that again"),
    ):
        parser = subparsers.add_parser(verb, help=what)
        add_json(parser)
        parser.set_defaults(run=run, verb=verb)


def run(args: argparse.Namespace) -> int:
    """Pause or resume; 0 if that is so now."""
    tell = _tell_pause if args.verb == "pause" else _tell_resume
    return 1 if wish(args, args.verb, {}, tell) is None else 0


def _tell_pause(answer: Any) -> Iterator[str]:
    how = "were paused already" if answer["was_paused"] else "are paused, also over restarts"
    yield f"downloads that no machine waits for {how}; ollama-appliance resume ends it"


def _tell_resume(answer: Any) -> Iterator[str]:
    count = answer["resumed_blobs"]
    yield f"{count} unfinished {'blob goes' if count == 1 else 'blobs go'} on"
