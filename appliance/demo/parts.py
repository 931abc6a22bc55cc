"""How a blob is cut into parts, and what is remembered of each between two pulls.

Beside the sparse file `sha256-<hex>-partial` stands one small JSON file for each part, in Ollama's
own shape, written when the part is planned and again whenever an attempt at it ends.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.habits import PART_BYTES_MAX, PART_BYTES_MIN, PARTS_AT_ONCE


@dataclass(slots=True)
class Part:
    """Bytes `offset_bytes` and on of a blob, of which the first `completed_bytes` are on disk."""

    number: int
    offset_bytes: int
    size_bytes: int
    completed_bytes: int = 0

    @property
    def start(self) -> int:
        """The first byte that is still missing."""
        return self.offset_bytes + self.completed_bytes

    @property
    def stop(self) -> int:
        return self.offset_bytes + self.size_bytes

    @property
    def is_complete(self) -> bool:
        return self.completed_bytes == self.size_bytes


def plan_parts(
    total_bytes: int,
    minimum_bytes: int = PART_BYTES_MIN,
    maximum_bytes: int = PART_BYTES_MAX,
    count: int = PARTS_AT_ONCE,
) -> list[Part]:
    """Cut a blob into `count` equal parts, but no smaller and no larger than the two limits."""
    size_bytes = min(max(total_bytes // count, minimum_bytes), maximum_bytes)
    return [
        Part(number, offset, min(size_bytes, total_bytes - offset))
        for number, offset in enumerate(range(0, total_bytes, size_bytes))
    ]


class PartFiles:
    """The files of one blob's download that is under way."""

    def __init__(self, blob: Path) -> None:
        self.blob = blob
        self.data = blob.with_name(f"{blob.name}-partial")

    def write(self, part: Part) -> None:
        """Remember `part` as it stands."""
        document = {
            "N": part.number,
            "Offset": part.offset_bytes,
            "Size": part.size_bytes,
            "Completed": part.completed_bytes,
        }
        self._path(part.number).write_text(f"{json.dumps(document)}\n", "utf-8")

    def read_all(self) -> list[Part]:
        """The parts that an earlier pull left, in order; none if it left none."""
        found = [
            json.loads(each.read_text("utf-8"))
            for each in self.blob.parent.glob(f"{self.data.name}-*")
        ]
        parts = [Part(each["N"], each["Offset"], each["Size"], each["Completed"]) for each in found]
        return sorted(parts, key=lambda part: part.number)

    def finish(self, parts: list[Part]) -> None:
        """Forget the parts and give the file its name."""
        self.forget(parts)
        self.data.replace(self.blob)

    def forget(self, parts: list[Part]) -> None:
        """Remove what is remembered of the parts."""
        for part in parts:
            self._path(part.number).unlink()

    def _path(self, number: int) -> Path:
        return self.data.with_name(f"{self.data.name}-{number}")
