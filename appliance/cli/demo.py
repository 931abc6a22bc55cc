"""`ollama-appliance demo`: see the box work, with a scripted Internet and emulated clients.

Everything happens on loopback and in a temporary directory that is removed at the end. Exit status
0 only if every client got the very model, the warm pull took nothing from the Internet, and the
cold ones no more than one model together.
"""

import argparse
import asyncio
import json
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time as wall_clock
from typing import TYPE_CHECKING

from appliance.config.values import parse_amount

if TYPE_CHECKING:
    from appliance.demo.play import Plan
    from appliance.demo.report import Report
    from appliance.demo.stage import Stage

RATE, PAGE_RATE = 100_000_000, 12_000_000  # A cold pull that can be watched takes some seconds.
KEEPING_CLIENTS_MAX = 4  # Their hashing takes no core from the box.
CLIENTS_MAX = 64  # Sixteen threads each; a larger classroom needs a larger machine.


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "demo", help="pull a model through a box from a scripted origin, cold and warm, measured"
    )
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    parser.add_argument(
        "--size", type=parse_size, default="2GiB", metavar="SIZE", help="of the model (2GiB)"
    )
    parser.add_argument(
        "--rate",
        type=parse_size,
        metavar="BYTES_PER_SECOND",
        help="of the Internet connection, 0 for no limit (100MB, with --page 12MB)",
    )
    parser.add_argument(
        "--clients", type=parse_clients, default="2", metavar="N", help="that pull cold (2)"
    )
    parser.add_argument(
        "--direct",
        action=argparse.BooleanOptionalAction,
        help="pull once without the box first, to compare with (yes, with --json no)",
    )
    parser.add_argument(
        "--connection-rate",
        type=parse_size,
        default="0",
        metavar="BYTES_PER_SECOND",
        help="what the origin gives each connection, 0 for no limit (0)",
    )
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        help="clients write what they pull and hash it, as real ones do, instead of comparing it "
        f"with the origin's (yes, with more than {KEEPING_CLIENTS_MAX} no: they would measure "
        "this machine's disk)",
    )
    parser.add_argument(
        "--page",
        action="store_true",
        help="no measuring: machines pull several models of --size together, again and again, for "
        "the box's page to be looked at until Ctrl-C",
    )
    parser.set_defaults(run=run)


def parse_size(text: str) -> int:
    """Read `2GiB`, `100MB` or a bare number of bytes; a rate may end in `/s`."""
    text = text.removesuffix("/s")
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        amount = parse_amount(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not a size such as 2GiB: {text!r}") from error
    if amount.unit == "%":
        raise argparse.ArgumentTypeError("a part of what? say a size such as 2GiB")
    return amount.bytes_of(0)


def parse_clients(text: str) -> int:
    """Read a number of clients."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= CLIENTS_MAX):
        raise argparse.ArgumentTypeError(f"a number of clients is 1 to {CLIENTS_MAX}, not {text!r}")
    return int(text)


def choose_rate(args: argparse.Namespace) -> int | None:
    """The Internet connection's bytes a second; None for no limit."""
    if args.rate is None:
        return PAGE_RATE if args.page else RATE
    return args.rate or None


def run(args: argparse.Namespace) -> int:
    """Play the demo; 0 if all promises were kept."""
    if args.page:
        return show_page(args)
    from appliance.demo.box import BoxFailedError  # Late: other verbs need none of the demo room.
    from appliance.demo.conversation import PullError
    from appliance.demo.play import DiskShortError, Plan

    has_direct = not args.json if args.direct is None else args.direct
    keeps = args.clients <= KEEPING_CLIENTS_MAX if args.keep is None else args.keep
    plan = Plan(
        args.size,
        args.clients,
        choose_rate(args),
        has_direct,
        connection_bytes_per_second=args.connection_rate or None,
        keeps=keeps,
    )
    try:
        report = _play(plan, as_json=args.json)
    except (BoxFailedError, DiskShortError, PullError) as fault:
        print(f"ollama-appliance: {fault}\n  {fault.hint}", file=sys.stderr)
        return 1
    return conclude(report, as_json=args.json)


def conclude(report: "Report", *, as_json: bool) -> int:
    """Print what was measured, and every promise that was not kept; returns the exit status."""
    print(json.dumps(report.document()) if as_json else "\n".join(["", *report.lines()]))
    for failure in report.failures():
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if report.failures() else 0


def _play(plan: "Plan", *, as_json: bool) -> "Report":
    from rich.console import Console

    from appliance.demo.bars import watching
    from appliance.demo.play import play

    with (
        _leaving_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="box-demo-") as directory,
        watching(Console(stderr=True), is_quiet=as_json) as audience,
    ):
        return asyncio.run(play(Path(directory), plan, wall_clock, audience))


def show_page(args: argparse.Namespace) -> int:
    """Keep a box going to look at, until Ctrl-C."""
    from appliance.demo.box import BoxFailedError
    from appliance.demo.play import DiskShortError
    from appliance.demo.showing import Showing, show

    def tell(stage: "Stage") -> None:
        print(f"the page:  {stage.box.web_url}/")
        print(f"to log in: {password}")
        print("Ctrl-C ends it and removes everything", flush=True)

    password = secrets.token_hex(6)
    with (
        _leaving_on_sigterm(),
        tempfile.TemporaryDirectory(prefix="box-demo-") as directory,
        suppress(KeyboardInterrupt),
    ):
        file = Path(directory, "password")
        file.write_text(password + "\n", "utf-8")
        file.chmod(0o600)
        settings = {"WEB_ADMIN_PASSWORD_FILE": str(file)}
        showing = Showing(args.size, choose_rate(args), settings, _forget)
        try:
            asyncio.run(show(Path(directory), showing, wall_clock, print, tell))
        except (BoxFailedError, DiskShortError) as fault:
            print(f"ollama-appliance: {fault}\n  {fault.hint}", file=sys.stderr)
            return 1
    return 0


async def _forget(state_dir: Path, model: str) -> None:
    from appliance.control import BoxRefusesError, wish_of_box

    with suppress(BoxRefusesError):  # It is being pulled, or is not there.
        await wish_of_box(state_dir, "rm", {"model": model})


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: the box is stopped and the directory removed."""

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
