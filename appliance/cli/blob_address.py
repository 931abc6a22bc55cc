"""`ollama-appliance blob-address`: what lets the newest Ollama fetch blobs here, line by line."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

from appliance.blob_host import BlobHost
from appliance.cli.recipes import describe_recipe, format_recipe
from appliance.cli.showing import tell_fault
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.interfaces import read_gateways, read_interfaces
from appliance.policy.askers import Askers
from appliance.policy.blob_addresses import choose_announced
from appliance.policy.recipes import Lan, Recipe
from appliance.private_files import SecretDamagedError, SecretMissingError, read_secret


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "blob-address", help="the lines that give the newest Ollama a way to fetch blobs here"
    )
    parser.add_argument(
        "--router",
        type=IPv4Address,
        metavar="ADDRESS",
        help="the network's router, where this machine's own default route is another",
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the lines; 1 where the machine is on no IPv4 network to write them for."""
    try:
        config = load_config(args.config, read_environment())
        blob_host = make_blob_host(config)
    except (ConfigInvalidError, SecretDamagedError, SecretMissingError) as fault:
        return tell_fault(fault)
    lan = blob_host.lan()
    if lan is None:
        told = "this machine is on no IPv4 network: set box.address to what clients dial"
        print(f"ollama-appliance: {told}", file=sys.stderr)
        return 1
    router = str(args.router or lan.router)
    lan = Lan(lan.box, router, lan.network, lan.interface)
    recipes = blob_host.recipes(lan)
    if args.json:
        print(json.dumps(list(map(describe_recipe, recipes)), indent=2))
    else:
        print("\n".join(format_advice(config, lan, recipes)))
    return 0


def make_blob_host(config: Config) -> BlobHost:
    """The blob host as the machine is now, whether or not a box runs on it."""
    from appliance.assembly import make_blob_place  # Late: it knows all of mitmproxy.

    secret = _find_secret(config)
    return BlobHost(
        make_blob_place(config, secret),
        read_interfaces,
        Askers(),
        refuse_private_from=str(config.raw("blobs", "refuse_private_from")),
        announceable=choose_announced(config.blobs.address, secret) if secret else "",
        proxy_port=config.proxy.port if config.proxy.enabled else None,
        read_gateways=read_gateways,
    )


def _find_secret(config: Config) -> bytes:
    """The box's secret, which what it announces is made of; empty where none was made or needed."""
    try:
        return read_secret(config.state_dir / "secret")
    except SecretMissingError:
        if config.blobs.announce:
            raise
        return b""


def format_advice(config: Config, lan: Lan, recipes: Iterable[Recipe]) -> Iterator[str]:
    """All ways for the newest clients, those that need no address first."""
    version = config.raw("blobs", "refuse_private_from")
    yield f"# Ollama {version} and newer fetch no blob from a private address after https."
    yield "# Where the network has IPv6 from its provider nothing is needed. Else choose one way:"
    yield "# plain http; the proxy; or an address, which takes the address on this box, its line in"
    yield "# appliance.conf, and one of the routes. Nothing is changed by printing this."
    for recipe in recipes:
        yield from ("", *format_recipe(recipe))
    if not lan.router:
        yield ""
        yield "# For DHCP: name the network's router, as in --router 192.168.1.1"
