"""Deep fuzzing: `python -m tests.fuzz [--seconds 60] [PARSER…]`.

Each parser is fuzzed by atheris in a process of its own, guided by which lines its inputs reach;
what crashes one is printed, and kept under `--corpus`. Without atheris it says so.
"""

import argparse
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.parsers import PARSERS, SEEDS

SIZE_BYTES_MAX = 4096
OURS = ("appliance", "addons")
PARSERS_MODULE = "tests.fuzz.parsers"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *PARSERS], metavar="PARSER")
    parser.add_argument("--seconds", type=int, default=60, help="for each (default 60)")
    parser.add_argument("--corpus", type=Path, default=Path(".cache/fuzz"), metavar="DIRECTORY")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.inside:
        fuzz(wish.inside, wish.corpus, wish.seconds)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(
            "no atheris here, and no more to do: pip install atheris",
            file=sys.stderr,
        )
        return 0
    return sum(run_inside(name, wish.corpus, wish.seconds) for name in wish.names or PARSERS)


def run_inside(name: str, corpus: Path, seconds: int) -> int:
    """Fuzz one parser to its end; 1 where something was found."""
    print(f"{name}: {seconds} s", flush=True)
    options = ("--inside", name, "--corpus", str(corpus), "--seconds", str(seconds))
    command = (sys.executable, "-m", "tests.fuzz", *options)
    return int(subprocess.run(command, check=False).returncode != 0)


def fuzz(name: str, corpus: Path, seconds: int) -> None:
    """Does not return: libFuzzer ends the process, with a status that tells of findings."""
    atheris: Any = importlib.import_module("atheris")
    directory = corpus / name
    directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, ())):
        (directory / f"seed-{number}").write_bytes(seed)
    limits = (f"-max_total_time={seconds}", f"-max_len={SIZE_BYTES_MAX}", "-timeout=5")
    quiet = ("-print_final_stats=0", "-verbosity=0", f"-artifact_prefix={directory}/found-")
    parsers = import_instrumented(atheris)
    atheris.Setup([sys.argv[0], *limits, *quiet, str(directory)], parsers[name])
    atheris.Fuzz()


def import_instrumented(atheris: Any) -> dict[str, Callable[[bytes], None]]:
    """The parsers anew, our own code guiding; all 20,000 functions of this process take minutes."""
    for each in tuple(sys.modules):
        if each.split(".")[0] in OURS or each == PARSERS_MODULE:
            del sys.modules[each]
    with atheris.instrument_imports(include=list(OURS), enable_loader_override=False):
        parsers: dict[str, Callable[[bytes], None]] = importlib.import_module(
            PARSERS_MODULE
        ).PARSERS
    return parsers


if __name__ == "__main__":
    sys.exit(main())
