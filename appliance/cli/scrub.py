"""`ollama-appliance scrub`: read again what is held, and have what went bad fetched again."""

import argparse
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.cli.wishes import add_json, wish
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box
from appliance.web.sizes import format_size

TICK_SECONDS = 1.0  # Between two looks at how far it is.


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
    with _progress_shown(args.config):
        answer = wish(args, "scrub", {"model": args.model}, tell)
    return 0 if answer is not None and all(each["mended"] for each in answer["damaged"]) else 1


def tell(answer: Any) -> Iterator[str]:
    """Lines for a person."""
    for each in answer["damaged"]:
        end = "mended" if each["mended"] else "out of service until the origin gives them again"
        yield f"{each['digest']}: {format_size(each['bad_bytes'])} were wrong; {end}"
    read = f"{answer['blob_count']} blobs, {format_size(answer['read_bytes'])} read"
    count = len(answer["damaged"])
    yield f"{read}: {f'{count} damaged' if count else 'nothing is wrong'}"


@contextmanager
def _progress_shown(config_path: Path | None) -> Iterator[None]:
    """Show a terminal how far the running box is, while this is entered."""
    over = threading.Event()
    thread = threading.Thread(target=_show_progress, args=(config_path, over), daemon=True)
    if sys.stderr.isatty():
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()


def _show_progress(config_path: Path | None, over: threading.Event) -> None:
    try:
        state_dir = load_config(config_path, read_environment()).state_dir
        while not over.wait(TICK_SECONDS):
            if asked := call_box(state_dir, "scrub")["asked"]:
                sys.stderr.write(f"\r{describe_progress(asked)}\033[K")
                sys.stderr.flush()
    except (BoxNotRunningError, ConfigInvalidError):
        return  # The deed itself tells why.
    finally:
        sys.stderr.write("\r\033[K")


def describe_progress(asked: Any) -> str:
    """`1.5 GB of 4.0 GB`."""
    return f"{format_size(asked['read_bytes'])} of {format_size(asked['total_bytes'])}"
