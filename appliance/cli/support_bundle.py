"""`ollama-appliance support-bundle`: what somebody who helps needs to see, and no secret."""

import argparse
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from appliance.cli.doctor import examine_box, format_finding
from appliance.cli.exhibits import gather, list_exhibits, read_secrets
from appliance.cli.showing import tell_fault
from appliance.config import ConfigInvalidError, load_config, read_environment

README = """\
What this box was like at {at}. It is all text: read it before you send it to somebody.

Not in it: the CA's key, the secret that signs URLs, tokens, passwords, URLs that are signed, and
any byte of a model. Taken out of every text: what looks like one of those, and this box's own.

In it: the settings, what the box holds, which machines' addresses were learnt about, logged, or
changed something, and the addresses of this machine.
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb to the command line."""
    parser = subparsers.add_parser(
        "support-bundle", help="pack what somebody who helps needs to see, and no secret"
    )
    parser.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a .tar.gz that is not there yet"
    )
    parser.add_argument("--json", action="store_true", help="what was packed, as one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pack it; 1 where it cannot be written. What is broken is told inside."""
    try:
        config = load_config(args.config, read_environment())
    except ConfigInvalidError as fault:
        return tell_fault(fault)
    at = datetime.now(UTC)
    file = args.file or Path(f"ollama-appliance-support-{at:%Y%m%d-%H%M%S}.tar.gz")
    exhibits = [
        *list_exhibits(config),
        ("doctor.txt", lambda: "\n".join(map(format_finding, examine_box(config)))),
    ]
    found = {"README": README.format(at=f"{at:%Y-%m-%dT%H:%M:%SZ}")}
    found |= gather(exhibits, read_secrets(config))
    try:
        write_bundle(file, found, at)
    except OSError as error:
        print(f"ollama-appliance: {file} cannot be written: {error.strerror}", file=sys.stderr)
        print("  name another: ollama-appliance support-bundle FILE", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"file": str(file), "parts": sorted(found)}, indent=2))
    else:
        print(f"{file}: {len(found)} parts; read them before you send it: tar -xzf {file}")
    return 0


def write_bundle(file: Path, texts: Mapping[str, str], at: datetime) -> None:
    """Write a new archive that nobody else may read. Blocks. Raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    folder = file.name.partition(".")[0]
    with (
        os.fdopen(descriptor, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w:gz") as archive,
    ):
        for name, text in texts.items():
            content = text.encode("utf-8", "replace")
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mtime, member.mode = len(content), int(at.timestamp()), 0o600
            archive.addfile(member, io.BytesIO(content))
