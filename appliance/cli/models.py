"""`ollama-appliance models`: what the box holds; of a running box, else from its disk."""

import argparse
import json
from typing import Any

from rich.table import Table

from appliance.cli.showing import make_console, tell_fault
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box
from appliance.protocol.fields import format_authority
from appliance.store.faults import StoreError
from appliance.store.store import open_store
from appliance.upstream.builtin import BUILTIN
from appliance.web.models import describe_model
from appliance.web.sizes import format_size


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("models", help="what the box holds")
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the models."""
    try:
        config = load_config(args.config, read_environment())
        models = read_models(config)
    except (ConfigInvalidError, StoreError) as fault:
        return tell_fault(fault)
    if args.json:
        print(json.dumps(models, indent=2))
    elif not models:
        print("no models yet: the first one pulled through the box stays")
    else:
        make_console().print(make_table(models))
    return 0


def read_models(config: Config) -> list[dict[str, Any]]:
    """Ask the running box; with none running, take its lock and look. Raises StoreError."""
    try:
        models: list[dict[str, Any]] = call_box(config.state_dir, "models")
    except BoxNotRunningError:
        if not config.state_dir.exists():
            return []
        address = str(config.box.address or "localhost")
        base_url = f"http://{format_authority(address, config.web.ports[0], default_port=80)}"
        with open_store(config.state_dir, mount_point=config.box.mount_point) as store:
            return [
                describe_model(row, base_url, config.origin.name)
                for row in store.models()
                if row.reference.repository != BUILTIN.repository
            ]
    return models


def make_table(models: list[dict[str, Any]]) -> Table:
    """A table for a person."""
    table = Table(box=None, header_style="bold")
    for column in ("MODEL", "SIZE", "HERE", "PULLS", "LAST PULLED"):
        table.add_column(column, justify="right" if column in ("SIZE", "HERE", "PULLS") else "left")
    for model in models:
        here = "all" if model["complete"] else format_size(model["cached_bytes"])
        table.add_row(
            f"{model['name']}:{model['tag']}",
            format_size(model["size"]),
            here,
            str(model["pulls"]),
            model["last_pulled"] or "never",
        )
    return table
