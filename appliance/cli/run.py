"""`ollama-appliance run`: the box, until SIGTERM or Ctrl-C."""

import argparse
import gc
import logging
import os
import sys

from appliance import __version__
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.logs import configure_logs


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("run", help="run the box until SIGTERM or Ctrl-C")
    parser.add_argument("--verbose", action="store_true", help="log what is usual, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the box; 0 after a stop that was asked for, 1 if it could not start."""
    gc.disable()  # Nearly all that is made until the box is up stays: see `supervisor`.
    try:
        return _run(args)
    finally:
        gc.enable()


def _run(args: argparse.Namespace) -> int:
    from appliance import supervisor  # Late: half a second that `ca` and `check` need not wait.
    from appliance.startup import START_FAULTS

    os.umask(0o077)  # Whatever the box writes is nobody else's.
    configure_logs(level=logging.DEBUG if args.verbose else logging.INFO, timestamps=True)
    try:
        config = load_config(args.config, read_environment())
        _say(f"Ollama LAN Appliance {__version__}, state in {config.state_dir.absolute()}")
        for warning in config.warnings:
            _say(f"warning: {warning}")
        supervisor.run(config, _say)
    except (ConfigInvalidError, *START_FAULTS) as fault:
        print(f"ollama-appliance: {fault}\n  {fault.hint}", file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, flush=True)
