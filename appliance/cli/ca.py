"""`ca`: the box's own CA, for people to compare and for machines to trust.

Reads the certificate in the state directory, so it works with a running box and without one.
"""

import argparse
import json
import sys

from appliance.certs import (
    AUTHORITY_FOLDER,
    CERTIFICATE_FILE,
    AuthorityError,
    read_authority,
    read_authority_pem,
)
from appliance.config import ConfigInvalidError, load_config, read_environment


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser("ca", help="show the box's CA, or `ca export` it as PEM")
    parser.add_argument(
        "action", nargs="?", choices=["export"], help="write the PEM and nothing else"
    )
    parser.add_argument("--json", action="store_true", help="what it is, as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or export the CA; exit status 1, and what to type, where there is none."""
    try:
        directory = load_config(args.config, read_environment()).state_dir / AUTHORITY_FOLDER
        if args.action == "export":
            print(read_authority_pem(directory).decode("ascii"), end="")
            return 0
        authority = read_authority(directory)
    except (AuthorityError, ConfigInvalidError) as error:
        print(f"{error}\ntry: {error.hint}", file=sys.stderr)
        return 1
    file = str(directory.absolute() / CERTIFICATE_FILE)
    if args.json:
        facts = {
            "fingerprint": authority.fingerprint,
            "names": authority.names,
            "not_after": authority.not_after.isoformat(),
            "file": file,
        }
        print(json.dumps(facts, indent=2))
        return 0
    print(f"fingerprint  SHA256:{authority.fingerprint}")
    print(f"for          {', '.join(authority.names)}: these, names below them, and no other")
    print(f"until        {authority.not_after:%Y-%m-%d}")
    print(f"file         {file}")
    print("trust it     ollama-appliance ca export > ollama-appliance.pem   (then on each client)")
    return 0
