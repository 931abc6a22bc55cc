"""`ollama-appliance doctor`: does the running box do what clients need? Tried as a client would.

Exit status 0 where all of it works, else 1; each broken line says what to type.
"""

import argparse
import asyncio
import json
from dataclasses import asdict
from typing import Any

from appliance.certs import AUTHORITY_FOLDER, AuthorityError, read_authority_pem
from appliance.cli.reading import read_address, read_port
from appliance.cli.showing import print_lines, tell_fault
from appliance.client.examination import Here, Sought, examine_client
from appliance.config import Config, ConfigInvalidError, load_config, read_environment
from appliance.control import BoxNotRunningError, call_box
from appliance.examination import Examined, Finding, examine
from appliance.policy.addresses import DNS_PORT
from appliance.self_pull import SelfPull
from appliance.upstream.builtin import BUILTIN

USER_AGENT = "ollama-appliance-doctor"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("doctor", help="try all that clients need; what to type if not")
    parser.add_argument(
        "--address", type=read_address, help="the box's address to dial; default: its first"
    )
    parser.add_argument(
        "--client",
        action="store_true",
        help="why this machine, which pulls, passes the box by: its DNS servers, proxies, trust",
    )
    parser.add_argument(
        "--port",
        type=read_port,
        default="80",
        metavar="N",
        help="with --client: of the box's page (80)",
    )
    parser.add_argument("--json", action="store_true", help="as a JSON array")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine the box that runs with this configuration."""
    try:
        if args.client:
            found = examine_here(find_sought(args))
        else:
            found = examine_box(load_config(args.config, read_environment()), args.address)
    except (AddressMissingError, AuthorityError, BoxNotRunningError, ConfigInvalidError) as fault:
        return tell_fault(fault)
    if args.json:
        print(json.dumps([asdict(each) for each in found], indent=2))
    else:
        print_lines(line for each in found for line in format_finding(each).splitlines())
    return 0 if all(each.is_ok for each in found) else 1


class AddressMissingError(Exception):
    """No box runs here, so somebody must say where it is."""

    hint = "say where: ollama-appliance doctor --client --address 192.168.1.5"


def find_sought(args: argparse.Namespace) -> Sought:
    """The box that was named, else the one that runs on this very machine.

    Raises AddressMissingError.
    """
    if args.address:
        return Sought(args.address, web_port=args.port)
    try:
        status = call_box(load_config(args.config, read_environment()).state_dir, "status")
    except (BoxNotRunningError, ConfigInvalidError) as fault:
        raise AddressMissingError("no box runs on this machine") from fault
    dns_ports = [port for _, port in status["dns"]]
    return Sought(
        (*status["addresses"], "127.0.0.1")[0],
        web_port=status["web_ports"][0],
        dns_port=dns_ports[0] if dns_ports else DNS_PORT,
        tls_port=status["tls_port"],
    )


def examine_here(box: Sought) -> list[Finding]:
    """This machine, as one that pulls through `box`."""

    async def examine_all() -> list[Finding]:
        return [each async for each in examine_client(box, Here(read_environment()))]

    return asyncio.run(examine_all())


def examine_box(config: Config, address: str | None = None) -> list[Finding]:
    """All that is found at `address`, or where the box says that it is; and what it tells itself.

    Raises AuthorityError, BoxNotRunningError.
    """
    status = call_box(config.state_dir, "status")
    ca_pem = read_authority_pem(config.state_dir / AUTHORITY_FOLDER).decode("ascii")
    examined = make_examined(config, status, ca_pem, address)
    return asyncio.run(_examine(examined)) + _told(status)


def make_examined(
    config: Config, status: dict[str, Any], ca_pem: str, address: str | None
) -> Examined:
    """The box as its status says that it listens; `address` goes before its own."""
    own = tuple(status["addresses"]) or ("127.0.0.1",)
    dialled = address or own[0]
    dns_ports = [port for _, port in status["dns"]]

    async def ask_nobody() -> tuple[str, ...]:
        return (dialled,)

    pull = SelfPull(
        reference=BUILTIN,
        name=config.origin.name,
        tls_port=status["tls_port"],
        ca_pem=ca_pem,
        ask=ask_nobody,
        own=lambda: own,
        address=dialled,
        user_agent=USER_AGENT,
        blob_host=config.blobs.host if status["checks"]["inline"]["ok"] else "",
    )
    return Examined(
        own=(*own, dialled),
        dns_port=dns_ports[0] if dns_ports else None,
        web_port=status["web_ports"][0],
        proxy_port=status["proxy_port"],
        pull=pull,
    )


def format_finding(finding: Finding) -> str:
    """A line for a person, and below a broken one what to type."""
    line = f"{'ok    ' if finding.is_ok else 'BROKEN'} {finding.what}: {finding.detail}"
    return line + (f"\n       try: {finding.hint}" if finding.hint else "")


def _told(status: dict[str, Any]) -> list[Finding]:
    """What cannot be seen from outside, as the box tells it."""
    return [
        Finding(f"box: {name}", is_ok=check["ok"], detail=check["detail"])
        for name, check in status["checks"].items()
    ]


async def _examine(box: Examined) -> list[Finding]:
    return [finding async for finding in examine(box)]
