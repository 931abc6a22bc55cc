"""`ollama-appliance version`: of this program, and of the box that runs, which may be another."""

import argparse
import json
import platform
from typing import Any

from appliance import __version__
from appliance.config import ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("version", help="which version this is, and which one runs")
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Tell it; a box that does not run is no failure."""
    told = describe_version(_ask_running(args))
    if args.json:
        print(json.dumps(told, indent=2))
        return 0
    print(f"ollama-appliance {told['version']}, Python {told['python']}, {told['system']}")
    if told["running"] is None:
        print("no box runs with this configuration")
    elif told["running"] == told["version"]:
        print("the box that runs is the same")
    else:
        print(f"the box that runs is {told['running']}: restart it")
    return 0


def describe_version(running: str | None) -> dict[str, Any]:
    """The JSON; `running` is the version of the box that runs, None where none does."""
    return {
        "version": __version__,
        "running": running,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _ask_running(args: argparse.Namespace) -> str | None:
    try:
        state_dir = load_config(args.config, read_environment()).state_dir
        return str(call_box(state_dir, "status")["version"])
    except (BoxNotRunningError, ConfigInvalidError):
        return None
