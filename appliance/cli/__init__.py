"""`ollama-appliance`: one verb a file.

Exit codes: 0 done, 1 it could not be done (the reason and what to type are on standard error), 2
the command line itself is wrong.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from appliance import __version__
from appliance.cli import (
    blob_address,
    ca,
    check,
    demo,
    dns,
    doctor,
    evict,
    gc,
    learnt,
    models,
    pin,
    rm,
    run,
    scrub,
    status,
    token,
    verify,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run its verb; returns the exit code."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if "run" not in args:
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(args.run(args))
    except BrokenPipeError:  # The reader of our output has gone, as `head` does.
        return 1
    except KeyboardInterrupt:
        return 130


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="ollama-appliance",
        description="A LAN cache for Ollama: every model crosses the Internet once.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read FILE instead of appliance.conf"
    )
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB")
    verbs = (
        *(run, status, models, pin, rm, evict, gc, verify, scrub, learnt),
        *(check, doctor, ca, token, dns, blob_address, demo),
    )
    for verb in verbs:
        verb.add_parser(subparsers)
    return parser
