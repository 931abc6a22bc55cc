"""`python -m bench`, or `make bench`: measure the box beside other programs, and write it down.

Each part prints its tables as soon as it has them. The goals go to bench/results.json, the tables
and plots to docs/PERFORMANCE.md; what other parts found earlier stays there.
"""

import argparse
import importlib
import os
import signal
import sys
import tempfile
from pathlib import Path

from bench.machine import ProgramMissingError, describe_load, describe_machine
from bench.papers import format_markdown, format_section, replace_block
from bench.part import Setting
from bench.results import (
    Result,
    Section,
    format_table,
    merge,
    read_results,
    tabulate,
    write_results,
)
from bench.servers import allow_many_files

HOUSE = Path(__file__).parent.parent
RESULTS, PAPER, PLOTS = (
    HOUSE / "bench/results.json",
    HOUSE / "docs/PERFORMANCE.md",
    HOUSE / "docs/plots",
)
WORKPLACE = HOUSE / ".cache" / "bench"

PARTS = {
    "P1": ("bench.hits", "measure_redirect"),
    "P2": ("bench.hits", "measure_inline"),
    "P3": ("bench.memory", "measure"),
    "P4": ("bench.manifests", "measure"),
    "P5": ("bench.crowds", "measure"),
    "P6": ("bench.fill", "measure"),
    "P7": ("bench.names", "measure"),
    "P8": ("bench.starts", "measure"),
    "CLASSROOM": ("bench.classroom", "measure"),
    "GROWTH": ("bench.growth", "measure"),
}
"""Part → the module and the function that measure it."""


def main() -> int:
    """Measure what was asked for; 0 if all goals of it were met."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # So that no server is left behind.
    parts = options.only or list(PARTS)
    allow_many_files()
    options.directory.mkdir(parents=True, exist_ok=True)
    where = f"{describe_machine()}; {options.rounds} rounds, {describe_load()}."
    print(where, file=sys.stderr)
    results: list[Result] = []
    for part in parts:
        module, function = PARTS[part]
        print(f"\n{part}", flush=True)
        with tempfile.TemporaryDirectory(dir=options.directory) as name:
            setting = Setting(Path(name).absolute(), options.rounds, options.short)
            try:
                section: Section = getattr(importlib.import_module(module), function)(setting)
            except ProgramMissingError as fault:
                print(f"{fault}: {fault.hint}", file=sys.stderr)
                return 2
        results += section.results
        for table in (*section.tables, tabulate(section.results)):
            print(f"{format_table(table)}\n", flush=True)
        if options.write:
            _write(part, section, where)
    if len(parts) > 1:
        print(f"all\n{format_table(tabulate(results))}")
    return 0 if all(each.met for each in results) else 1


def _write(part: str, section: Section, where: str) -> None:
    results = merge(read_results(RESULTS), section.results)
    write_results(RESULTS, results)
    PLOTS.mkdir(exist_ok=True)
    for name, plot in section.plots.items():
        (PLOTS / f"{name}.svg").write_text(plot, "utf-8")
    text = PAPER.read_text("utf-8")
    text = replace_block(text, "goals", format_markdown(tabulate(results)))
    PAPER.write_text(replace_block(text, part, format_section(section, where)), "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", type=_parse_parts, metavar="PARTS", help=f"some of {','.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument(
        "--short", action="store_true", help="little work: shows that all works, and no more"
    )
    parser.add_argument(
        "--directory", type=Path, default=WORKPLACE, help=f"on a disk ({WORKPLACE.name})"
    )
    parser.add_argument(
        "--write",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write bench/results.json and docs/PERFORMANCE.md (yes)",
    )
    return parser


def _parse_parts(text: str) -> list[str]:
    parts = [each for each in text.upper().split(",") if each]
    if unknown := [each for each in parts if each not in PARTS]:
        raise argparse.ArgumentTypeError(f"there is no {unknown[0]}, but {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    os.chdir(HOUSE)
    sys.exit(main())
