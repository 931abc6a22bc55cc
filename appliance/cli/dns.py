"""`ollama-appliance dns snippets`: the lines by which the network's own DNS leads to this box.

They name the addresses that this box's own DNS would answer with, whether or not it runs.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from appliance.cli.blob_address import make_blob_host
from appliance.cli.reading import read_address
from appliance.cli.recipes import describe_recipe, format_recipe
from appliance.cli.showing import tell_fault
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.interfaces import read_interfaces
from appliance.policy.addresses import Addresses, choose_addresses
from appliance.policy.snippets import SNIPPETS, Record, make_records
from appliance.private_files import SecretDamagedError, SecretMissingError


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("dns", help="the lines for the DNS that the network has")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    snippets = actions.add_parser(
        "snippets", help="print them for one software, and nothing else, or for all"
    )
    snippets.add_argument("name", nargs="?", choices=list(SNIPPETS), metavar="NAME", help=NAMES)
    snippets.add_argument(
        "--address",
        type=read_address,
        help="the box's address to lead to; default: all that its own DNS answers with",
    )
    snippets.add_argument("--json", action="store_true", help="as one JSON object")
    snippets.set_defaults(run=run)


NAMES = f"one of {', '.join(SNIPPETS)}"


def run(args: argparse.Namespace) -> int:
    """Print the lines; 1 where no address is known to lead to."""
    try:
        config = load_config(args.config, read_environment())
        records = find_records(config, args.address)
    except (ConfigInvalidError, SecretDamagedError, SecretMissingError) as fault:
        return tell_fault(fault)
    if not any(each.name == config.origin.name for each in records):
        print("ollama-appliance: this machine has no address to lead to", file=sys.stderr)
        print("  name it: ollama-appliance dns snippets --address 192.168.1.5", file=sys.stderr)
        return 1
    names = [args.name] if args.name else list(SNIPPETS)
    if args.json:
        print(json.dumps(describe_snippets(names, records), indent=2))
        return 0
    if args.name:  # The lines alone, for a file; the rest is for who reads.
        recipe = SNIPPETS[args.name](records)
        print("\n".join(recipe.lines))
        told = [f"# {recipe.title}", "# To undo it:", *(f"#   {line}" for line in recipe.undo)]
        print("\n".join([*told, *format_advice(config, records)]), file=sys.stderr)
        return 0
    blocks = ("\n".join(format_recipe(SNIPPETS[each](records))) for each in names)
    print("\n\n".join([*blocks, "\n".join(format_advice(config, records))]))
    return 0


def find_records(config: Config, address: str | None) -> tuple[Record, ...]:
    """The records of this machine as it is now, or of the box at `address`."""
    blob_host, interfaces = make_blob_host(config), read_interfaces()
    configured = str(config.box.address or "")
    lan = blob_host.lan()
    dialled = address or configured or (lan.box if lan else "127.0.0.1")
    box = (
        Addresses.sort((address,)) if address else choose_addresses(dialled, interfaces, configured)
    )
    return make_records(config.origin.name, box, config.blobs.host, blob_host.addresses(dialled))


def describe_snippets(names: list[str], records: tuple[Record, ...]) -> dict[str, Any]:
    """The JSON: what is to be answered, and how each software is told."""
    return {
        "records": [
            {"name": each.name, "type": each.kind, "address": each.address} for each in records
        ],
        "snippets": [{"name": name, **describe_recipe(SNIPPETS[name](records))} for name in names],
    }


def format_advice(config: Config, records: tuple[Record, ...]) -> Iterator[str]:
    """How to see that it works, and what else it needs."""
    yield f"# To see that it works: dig {config.origin.name} A; also AAAA and HTTPS, which must"
    yield "# give the addresses above or nothing, for any other leads past the box."
    if any(":" in each.address for each in records):
        yield "# Leave out the IPv6 lines where the provider changes the network's prefix."
    if not any(each.name == config.blobs.host for each in records):
        yield f"# {config.blobs.host} has no address here: ollama-appliance blob-address"
    elif not config.blobs.published:
        yield "# Once every client finds both names and has a way there: blobs.published = true"
