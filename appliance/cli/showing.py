"""How verbs show things: colours on a terminal, whole lines into a pipe, faults with what to type.

rich looks whether standard output is a terminal, and at NO_COLOR. What it does not know is that
lines in a pipe are for programs: there nothing is wrapped or cut.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

PIPE_COLUMNS = 1000  # Wider than any table of ours: rich takes 80 where it cannot ask a terminal.

_STYLES = {
    "ok": "green",
    "healthy": "green",
    "degraded": "yellow",
    "note": "yellow",
    "BROKEN": "bold red",
    "unhealthy": "bold red",
    "try": "cyan",
}


def make_console(*, stderr: bool = False) -> Console:
    """A console that cuts nothing off where it is no terminal."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PIPE_COLUMNS)
    return console


def print_lines(lines: Iterable[str]) -> None:
    """Print each as it is, its verdict coloured where that is seen."""
    console = make_console()
    for line in lines:
        console.print(paint(line), soft_wrap=True)


def paint(line: str) -> Text:
    """The line, and the first word of it in the colour of its verdict."""
    text = Text(line)
    word = line.split(maxsplit=1)[0].rstrip(":") if line.strip() else ""
    if word in _STYLES:
        start = line.index(word)
        text.stylize(_STYLES[word], start, start + len(word))
    return text


def tell_fault(fault: Exception) -> int:
    """Say what is wrong and what to type, on standard error; the exit code for it."""
    hint = getattr(fault, "hint", "")
    print(f"ollama-appliance: {fault}" + (f"\n  {hint}" if hint else ""), file=sys.stderr)
    return 1


@contextmanager
def showing_progress() -> Iterator[Progress | None]:
    """Bars on standard error while this is entered; None where that is no terminal."""
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(
        *columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        yield progress
