"""Hundreds of lives of the real box, each ended by kill -9 at a random step or moment.

    python -m tests.faults.crash [--lives N] [--seed N]

The seed is printed, and gives the same deaths again; what the box is at when a moment comes is its
own. Ends with status 1 and the box's log when anything was lost or found wrong.
"""

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

from tests.faults.doomed import DOOMS
from tests.faults.lives import open_lives

LIVES = 300
LIVES_TOGETHER = 30  # On one state directory; then a new one begins.
MOMENT_SECONDS_MAX = 6.0  # From the start of the process: half of its lives end before it is ready.


def main() -> int:
    """Crash until the lives are over; 0 where nothing was lost."""
    parser = argparse.ArgumentParser(prog="make crash ARGS=", allow_abbrev=False)
    parser.add_argument("--lives", type=int, default=LIVES)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9))
    args = parser.parse_args()
    say(f"{args.lives} lives, --seed {args.seed}")
    died = Counter[str]()
    random, left = Random(args.seed), args.lives
    while left > 0:
        count = min(left, LIVES_TOGETHER)
        try:
            died += asyncio.run(crash(random, count))
        except (AssertionError, TimeoutError) as error:
            say(f"--seed {args.seed}, after {args.lives - left} lives: {error}")
            return 1
        left -= count
        say(f"{args.lives - left} lives, nothing lost")
    for doom, count in sorted(died.items()):
        say(f"{count:5} {doom}")
    return 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def crash(random: Random, count: int) -> Counter[str]:
    """So many lives on a directory of their own; returns what they died of."""
    with tempfile.TemporaryDirectory(prefix="crash-") as home:
        async with open_lives(Path(home), random) as lives:
            for _ in range(count):
                await lives.live(choose_doom(random))
        return Counter(each.partition(":")[0] if "after" in each else each for each in lives.deaths)


def choose_doom(random: Random) -> str:
    """A step, or as often a moment."""
    if random.random() < 0.5:
        return random.choice(DOOMS)
    return f"after:{random.uniform(0.0, MOMENT_SECONDS_MAX):.3f}"


if __name__ == "__main__":
    sys.exit(main())
