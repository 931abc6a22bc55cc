"""One small way to break a promise: a text of the source that stands there once, and another."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of `path` that breaks the promise of `row`; one of `tests` at least must fail.

    `tests` are as pytest takes them, from the top of the checkout.
    """

    row: str
    what: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, root: Path) -> None:
        """Change the checkout at `root`."""
        file = root / self.path
        text = file.read_text("utf-8")
        assert text.count(self.old) == 1, f"{self.path} has changed: mend {self.what!r}"
        file.write_text(text.replace(self.old, self.new), "utf-8")
