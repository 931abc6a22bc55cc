"""What a demo's audience sees while it plays: bars on a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from appliance.demo.play import Audience


@contextmanager
def watching(console: Console, *, is_quiet: bool) -> Iterator[Audience]:
    """An audience at `console`; a quiet one sees bars on a terminal and nothing elsewhere."""
    if not console.is_terminal:
        yield Audience(_silent if is_quiet else console.print, _ignore)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(
        *columns, TransferSpeedColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        yield Audience(progress.console.print, _Bars(progress).advance)


class _Bars:
    """A bar for each client, from its first byte on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def advance(self, name: str, here_bytes: int, total_bytes: int) -> None:
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total_bytes)
        self._progress.update(self._bars[name], completed=here_bytes)


def _silent(line: str) -> None:
    """Say nothing."""


def _ignore(name: str, here_bytes: int, total_bytes: int) -> None:
    """Show nothing."""
