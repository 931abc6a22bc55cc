"""`ollama-appliance token`: give scripts and people a token, list them, take them back."""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from appliance.cli.showing import tell_fault
from appliance.cli.wishes import FAULTS, add_json, wish
from appliance.config import load_config, read_environment
from appliance.control import call_box
from appliance.policy.roles import Role

_DAY_SECONDS = 86400


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("token", help="who else may change something, and for how long")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="print a new token; it is shown this once")
    create.add_argument("name", metavar="NAME", help="whose it is; the audit log says so")
    roles = [each.name.lower() for each in Role if each is not Role.ANYONE]
    create.add_argument("--role", choices=roles, default="operator")
    create.add_argument("--days", type=int, default=90, metavar="N", help="how long: 90")
    add_json(create)
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", help="the tokens that are good now")
    add_json(listing)
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="end a token now")
    revoke.add_argument("id", metavar="ID", help="as `token list` shows it")
    add_json(revoke)
    revoke.set_defaults(run=run_revoke)


def run_create(args: argparse.Namespace) -> int:
    """Print the token alone, so that a script can keep it."""
    wishes = {"name": args.name, "role": args.role, "seconds": args.days * _DAY_SECONDS}
    answer = wish(args, "token-create", wishes, lambda answer: [answer["token"]])
    return 1 if answer is None else 0


def run_revoke(args: argparse.Namespace) -> int:
    """End it; 0 if it is over."""
    told = wish(args, "token-revoke", {"id": args.id}, lambda it: [f"{it['name']}: revoked"])
    return 1 if told is None else 0


def run_list(args: argparse.Namespace) -> int:
    """List them."""
    try:
        config = load_config(args.config, read_environment())
        found = call_box(config.state_dir, "tokens")
    except FAULTS as fault:
        return tell_fault(fault)
    print(json.dumps(found, indent=2) if args.json else "\n".join(format_tokens(found)))
    return 0


def format_tokens(found: list[dict[str, Any]]) -> Iterator[str]:
    """Lines for a person."""
    if not found:
        yield "no token is good now; make one: ollama-appliance token create NAME"
    for each in found:
        until = datetime.fromtimestamp(each["expires_at"], UTC)
        yield f"{each['id']}  {each['role']:<8}  until {until:%Y-%m-%d}  {each['name']}"
