"""Breaks each promise in one line, in a copy of this checkout, and sees that a test notices.

    python -m tests.mutants [ROW …]

Prints row → mutation → the test that failed. Ends with status 1 where a mutant survives, or where
the tests do not pass without any.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS, ROWS

HOUSE = Path(__file__).parents[2]
COPIED = ("addons", "appliance", "docker", "docs", "scripts", "systemd", "tests")
SECONDS_MAX = 600.0  # For all tests of one mutant; who hangs has noticed, too.

_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
_PASSED, _FAILING = 0, 1  # Exit codes of pytest; any other says that it could not test.


def main() -> int:
    """Try the mutants of the rows asked for; 0 where every one was noticed."""
    parser = argparse.ArgumentParser(prog="make mutants ARGS=", allow_abbrev=False)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join(ROWS)}; none: all")
    rows = parser.parse_args().rows or ROWS
    chosen = [each for each in MUTANTS if each.row in rows]
    with tempfile.TemporaryDirectory(prefix="mutants-") as home:
        copy = Path(home) / "checkout"
        copy_house(copy)
        if trouble := find_trouble(copy, chosen):
            say(trouble)
            return 1
        say("| row | mutation | the test that failed |\n| --- | --- | --- |")
        survivors = [each for each in chosen if not is_noticed(copy, each)]
    say(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants were noticed")
    for each in survivors:
        say(f"{each.row}: nothing notices: {each.what} ({each.path})")
    return 1 if survivors else 0


def say(line: str) -> None:
    """Tell whoever waits."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def copy_house(copy: Path) -> None:
    """Copy what tests read, as it lies here; programs and packages are this checkout's."""
    nothing_made = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        shutil.copytree(HOUSE / name, copy / name, ignore=nothing_made)
    for file in HOUSE.iterdir():
        if file.is_file():
            shutil.copy(file, copy)
    for name in (".venv", ".cache"):
        if (HOUSE / name).exists():
            (copy / name).symlink_to(HOUSE / name)


def find_trouble(copy: Path, chosen: Sequence[Mutant]) -> str:
    """Why nothing can be said of these mutants; "" where all their tests pass without one."""
    done = run_tests(copy, tuple(dict.fromkeys(test for each in chosen for test in each.tests)))
    if done is not None and done.returncode == _PASSED:
        return ""
    return "without a mutant not all tests pass:\n" + (done.stdout if done else "they hang")


def is_noticed(copy: Path, mutant: Mutant) -> bool:
    """Whether a test fails with the mutant in the copy; says which."""
    kept = (copy / mutant.path).read_text("utf-8")
    mutant.apply(copy)
    try:
        done = run_tests(copy, mutant.tests, "--exitfirst")
    finally:
        (copy / mutant.path).write_text(kept, "utf-8")
    noticed = "they hang" if done is None else next(_name_failed(done), "")
    if done is not None and done.returncode not in (_PASSED, _FAILING):
        noticed = ""
        say(done.stdout)
    say(f"| {mutant.row} | {mutant.what} | {noticed or 'NONE'} |")
    return bool(noticed)


def _name_failed(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    yield from _FAILED.findall(done.stdout)


def run_tests(
    copy: Path, tests: tuple[str, ...], *options: str
) -> subprocess.CompletedProcess[str] | None:
    """Run them in the copy; None where they do not end."""
    quiet = ("-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", *options)
    try:
        return subprocess.run(
            (sys.executable, "-m", "pytest", *quiet, *tests),
            cwd=copy,
            # A mutant may have the size and the second of what stood there before.
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired:
        return None


if __name__ == "__main__":
    sys.exit(main())
