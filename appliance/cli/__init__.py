"""`ollama-appliance`: one verb a file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance import __version__
from appliance.cli import (
    blob_address,
    ca,
    cache,
    check,
    completion,
    demo,
    dns,
    doctor,
    evict,
    gc,
    learnt,
    logs,
    models,
    pause,
    pin,
    prefetch,
    rm,
    run,
    scrub,
    setup,
    stats,
    status,
    support_bundle,
    token,
    verify,
    version,
)
from appliance.cli.grouping import GroupedParser, Verb

EXIT_CODES: Mapping[int, str] = {
    0: "done, and all is well",
    1: "not done, or not well; standard error has the reason and what to type",
    2: "the command line itself is wrong",
    130: "stopped by Ctrl-C",
}

GROUPS: Mapping[str, tuple[Verb, ...]] = {
    "start and watch the box": (
        run,
        setup,
        check,
        status,
        stats,
        doctor,
        logs,
        support_bundle,
        demo,
    ),
    "lead machines to it": (dns, ca, blob_address, learnt),
    "keep models": (models, prefetch, pause, pin, rm, evict, gc, cache, verify, scrub),
    "scripts, people and this shell": (token, completion, version),
}


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


def make_parser() -> GroupedParser:
    """The whole command line."""
    codes = "; ".join(f"{code} {what}" for code, what in EXIT_CODES.items())
    parser = GroupedParser(
        prog="ollama-appliance",
        description="A LAN cache for Ollama: every model crosses the Internet once.",
        epilog=f"Exit codes: {codes}. `VERB --help` says more; so does docs/CLI.md.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="read FILE instead of appliance.conf"
    )
    parser.add_verbs(GROUPS)
    return parser
