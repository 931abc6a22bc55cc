"""`make soak`: hours of misuse in minutes, and whether the box kept its promises.

The seed decides what everybody means to do; the machine's own timing decides what comes of it.
"""

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.findings import format_findings
from tests.soak.soak import Soak


def main() -> int:
    """Soak, and print what came of it; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of storm; two more follow")
    parser.add_argument("--seed", type=int, default=None, help="default: one that is printed")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a page")
    parser.add_argument("--keep", type=Path, help="a new directory, where all is left to look at")
    options = parser.parse_args()
    # aiohttp complains where the origin goes down in the middle of an answer, which is meant.
    logging.getLogger("aiohttp").addHandler(logging.NullHandler())
    seed = random.randrange(2**32) if options.seed is None else options.seed
    if options.keep is not None:
        options.keep.mkdir()
        return _soak(options.keep, seed, options)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        return _soak(Path(name), seed, options)


def _soak(directory: Path, seed: int, options: argparse.Namespace) -> int:
    def say(what: str) -> None:
        print(f"soak, seed {seed}: {what}", file=sys.stderr, flush=True)

    findings = asyncio.run(Soak(directory, seed, options.minutes * 60, say).run())
    print(json.dumps(findings.as_json(), indent=2) if options.json else format_findings(findings))
    return 0 if findings.is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
