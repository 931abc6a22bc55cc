"""`ollama-appliance logs`: the end of the log, or of the audit log."""

import argparse
import json
from collections.abc import Iterable, Iterator

from appliance.cli.journal import JournalMissingError, follow_journal, read_audit, read_journal
from appliance.cli.reading import read_count
from appliance.cli.showing import tell_fault
from appliance.config import ConfigInvalidError, load_config, read_environment


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "logs",
        help="the end of the box's log, as systemd's journal has it, or of its audit log",
        epilog="The box stores no log itself. Where systemd did not start it, its log is on the "
        "terminal that did, or in `docker logs`.",
    )
    parser.add_argument(
        "-n", "--lines", type=read_count, default="50", metavar="N", help="how many: 50"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    parser.add_argument(
        "--audit", action="store_true", help="who changed what, instead; also without systemd"
    )
    parser.add_argument("--json", action="store_true", help="each line as a JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it; 1 where there is none to read."""
    try:
        if args.audit:
            state_dir = load_config(args.config, read_environment()).state_dir
            lines = read_audit(state_dir, args.lines)
            print_each(lines if args.json else format_audit(lines))
        elif args.follow:
            follow_journal(args.lines, as_json=args.json)
        else:
            print_each(read_journal(args.lines, as_json=args.json))
    except (ConfigInvalidError, JournalMissingError) as fault:
        return tell_fault(fault)
    return 0


def print_each(lines: Iterable[str]) -> None:
    """Print them as they are."""
    for line in lines:
        print(line)


def format_audit(lines: Iterable[str]) -> Iterator[str]:
    """Lines for a person; one that is no JSON, cut off by a full disk, comes as it is."""
    for line in lines:
        try:
            note = json.loads(line)
            wish = " ".join(f"{key}={value}" for key, value in note["wish"].items())
            told = f"{note['at']} {note['who']} from {note['from']}: {note['deed']} {wish}"
            yield f"{told.rstrip()}: {note['outcome']}"
        except (ValueError, KeyError, TypeError, AttributeError):
            yield line
