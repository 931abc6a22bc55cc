"""`ollama-appliance setup`: how far this box is set up, and what comes next. It changes nothing."""

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from appliance.cli.showing import print_lines, tell_fault
from appliance.cli.stats import read_stats
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box
from appliance.policy.steps import Standing, State, Step, list_steps
from appliance.protocol.fields import format_authority

UNIT_FILE = Path("/etc/systemd/system/ollama-appliance.service")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "setup", help="what is done of setting it up, and what to type next; changes nothing"
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the steps; 0 where none that is needed is left."""
    try:
        config = load_config(args.config, read_environment())
    except ConfigInvalidError as fault:
        return tell_fault(fault)
    steps = list_steps(find_standing(config))
    if args.json:
        print(json.dumps(list(map(describe_step, steps)), indent=2))
    else:
        print_lines(format_steps(steps))
    return 1 if any(each.state is State.NEXT for each in steps) else 0


def find_standing(config: Config) -> Standing:
    """Look at the settings and at the box, if it runs."""
    try:
        status: dict[str, Any] = call_box(config.state_dir, "status")
        stats = read_stats(config.state_dir)
    except BoxNotRunningError:
        status, stats = {}, {}
    served_bytes = stats.get("served_bytes", 0)
    address = next(iter(status.get("addresses", ())), str(config.box.address or "BOX"))
    port = status.get("web_ports", config.web.ports)[0]
    return Standing(
        is_service=UNIT_FILE.exists(),
        health=status.get("status"),
        leads_machines=status.get("is_client_led_here", False) or served_bytes > 0,
        url=f"http://{format_authority(address, port, default_port=80)}",
        served_bytes=served_bytes,
        blobs_missing=status.get("is_blob_host_wanted", False),
        has_password=config.web.admin_password_file is not None,
    )


def format_steps(steps: Iterable[Step]) -> Iterator[str]:
    """Lines for a person: a mark, and below what is not done the lines to type."""
    for each in steps:
        yield f"{each.state.value:<7} {each.what}"
        yield from (f"          {line}" for line in each.lines)


def describe_step(step: Step) -> dict[str, Any]:
    """The same as JSON."""
    return {"state": step.state.value, "what": step.what, "lines": list(step.lines)}
