"""What every part of the bench is given."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Setting:
    """Where to work, and how long: `is_short` shows that a part works, not what the box can do."""

    directory: Path
    rounds: int
    is_short: bool

    def choose[T](self, usual: T, short: T) -> T:
        """An amount of work."""
        return short if self.is_short else usual

    def room(self, name: str) -> Path:
        """A new directory for a part's files."""
        path = self.directory / name
        path.mkdir()
        return path
