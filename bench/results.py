"""What was measured, and whether that is as it was wished: rows, tables, and their file."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.figures import format_number

_HEADINGS = ("", "what", "ours", "theirs", "ratio", "goal", "met")


@dataclass(frozen=True, slots=True)
class Result:
    """One goal. `ratio` is ours by theirs; `theirs` and `ratio` are None where nobody compares."""

    id: str
    what: str
    ours: float
    theirs: float | None
    ratio: float | None
    goal: str
    met: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Figures under headings; the first column says of what."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]

    def texts(self) -> list[list[str]]:
        """The headings and rows as text."""
        rows = [
            [each if isinstance(each, str) else format_number(each) for each in row]
            for row in self.rows
        ]
        return [list(self.headings), *rows]


@dataclass(frozen=True, slots=True)
class Section:
    """What one part of the bench found: its goals, its figures, and plots by their file's name."""

    results: Sequence[Result]
    tables: Sequence[Table] = ()
    plots: dict[str, str] = field(default_factory=dict)


def compare(
    id: str,  # noqa: A002  # So it is called in the file.
    what: str,
    ours: float,
    theirs: float,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Result:
    """A goal that is a ratio of ours to theirs: exactly one of the two bounds."""
    ratio = ours / theirs if theirs else math.nan
    goal, met = _judge(ratio, at_most, at_least)
    return Result(id, what, ours, theirs, ratio, f"{goal} x theirs", met)


def bound(
    id: str,  # noqa: A002  # So it is called in the file.
    what: str,
    ours: float,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    theirs: float | None = None,
) -> Result:
    """A goal that is a number; `theirs` is told beside it."""
    goal, met = _judge(ours, at_most, at_least)
    ratio = ours / theirs if theirs else None
    return Result(id, what, ours, theirs, ratio, goal, met)


def _judge(value: float, at_most: float | None, at_least: float | None) -> tuple[str, bool]:
    assert (at_most is None) != (at_least is None), "one bound"
    if at_most is not None:
        return f"<= {format_number(at_most)}", value <= at_most
    assert at_least is not None, "the other bound"
    return f">= {format_number(at_least)}", value >= at_least


def tabulate(results: Iterable[Result]) -> Table:
    """All goals in one table."""
    rows = [
        (each.id, each.what, each.ours, each.theirs, each.ratio, each.goal, _word(each.met))
        for each in results
    ]
    return Table(_HEADINGS, rows)


def _word(met: bool) -> str:  # A value like another.
    return "yes" if met else "NO"


def format_table(table: Table) -> str:
    """For a terminal: columns aligned, numbers to the right."""
    lines = table.texts()
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    is_text = [
        all(isinstance(row[column], str) for row in table.rows) for column in range(len(widths))
    ]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width)
            for cell, width, left in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in lines
    )


def read_results(path: Path) -> list[Result]:
    """Those of earlier runs; none where there is no such file."""
    if not path.exists():
        return []
    return [Result(**each) for each in json.loads(path.read_text("utf-8"))]


def merge(earlier: Iterable[Result], measured: Sequence[Result]) -> list[Result]:
    """The measured ones in place of all earlier ones of their parts, ordered by id."""
    parts = {_part(each) for each in measured}
    kept = [each for each in earlier if _part(each) not in parts]
    return sorted([*kept, *measured], key=lambda each: each.id)


def _part(result: Result) -> str:
    return result.id.partition(".")[0]


def write_results(path: Path, results: Iterable[Result]) -> None:
    """One object a goal. What is not a number is null."""
    document = [
        {key: None if value != value else value for key, value in asdict(each).items()}
        for each in results
    ]
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
