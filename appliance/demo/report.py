"""What a demo measured, whether that is as promised, and both as text for people."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

UPSTREAM_RATIO_MAX = 1.01  # Of the model's bytes: room for a range fetched twice at an edge.

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Direct:
    """One client with no box, over the same Internet connection: what the box is measured by."""

    seconds: float
    longest_silence_seconds: float


@dataclass(frozen=True, slots=True)
class Cold:
    """Several clients at once, none of the model in the box. `seconds` is until the last is done.

    `first_seconds` is until the first of them is.
    """

    clients: int
    seconds: float
    upstream_bytes: int
    longest_silence_seconds: float
    first_seconds: float


@dataclass(frozen=True, slots=True)
class Warm:
    """One more client, all of the model in the box."""

    seconds: float
    upstream_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """A demo's result. `sha256_ok`: every client's bytes are the model's.

    Those that are kept were hashed from the client's disk, the others compared with the origin's,
    whose own hashes are the digests. `direct` is None where nobody pulled without the box.
    """

    blob_bytes: int
    cold: Cold
    warm: Warm
    sha256_ok: bool
    direct: Direct | None = None
    keeps: bool = True

    def document(self) -> dict[str, Any]:
        """The report for programs; `direct` and `cold.ratio` only where somebody pulled directly.

        The ratio is that of the last cold client's time to the direct client's.
        """
        document = asdict(self)
        del document["cold"]["first_seconds"], document["keeps"]
        if self.direct is None:
            del document["direct"]
        else:
            document["cold"]["ratio"] = self.cold.seconds / self.direct.seconds
        return document

    def failures(self) -> list[str]:
        """Every promise that was not kept, as a sentence; none when all is well."""
        return list(self._failures())

    def _failures(self) -> Iterator[str]:
        if not self.sha256_ok:
            yield "a client got bytes that are not the model's"
        if self.warm.upstream_bytes:
            size = format_size(self.warm.upstream_bytes)
            yield f"the warm pull took {size} from the Internet instead of nothing"
        ratio = self.cold.upstream_bytes / self.blob_bytes
        if ratio > UPSTREAM_RATIO_MAX:
            promised = f"at most {UPSTREAM_RATIO_MAX}"
            yield f"the cold pulls took {ratio:.3f} times the model from the Internet: {promised}"

    def lines(self) -> Iterator[str]:
        """The report for people, line by line."""
        size, cold, warm = self.blob_bytes, self.cold, self.warm
        clients = "1 client" if cold.clients == 1 else f"{cold.clients} clients at once"
        served = size * (cold.clients + 1)
        rate = format_size(size * cold.clients / cold.seconds)
        yield f"model     {format_size(size)}"
        yield from self._direct_lines()
        yield f"cold      {clients}, {cold.seconds:.1f} s, {rate}/s together"
        yield from self._ratio_lines()
        ratio = cold.upstream_bytes / size
        yield f"          {format_size(cold.upstream_bytes)} from the Internet: {ratio:.3f} models"
        yield f"          longest silence of any part: {cold.longest_silence_seconds:.2f} s"
        yield f"warm      1 client, {warm.seconds:.1f} s, {format_size(size / warm.seconds)}/s"
        yield f"          {format_size(warm.upstream_bytes)} from the Internet"
        yield f"saved     {format_size(served - cold.upstream_bytes - warm.upstream_bytes)}"
        yield f"sha256    {self._verdict() if self.sha256_ok else 'WRONG'}"

    def _verdict(self) -> str:
        if self.keeps:
            return "every blob of every client is right"
        return "every byte of every client is right, compared with the origin's and not kept"

    def _direct_lines(self) -> Iterator[str]:
        if self.direct is None:
            return
        rate = format_size(self.blob_bytes / self.direct.seconds)
        yield f"direct    1 client without the box, {self.direct.seconds:.1f} s, {rate}/s"
        silence_seconds = self.direct.longest_silence_seconds
        yield f"          longest silence of any part: {silence_seconds:.2f} s"

    def _ratio_lines(self) -> Iterator[str]:
        if self.direct is None:
            return
        last = f"{self.cold.seconds / self.direct.seconds:.2f} times the direct pull"
        if self.cold.clients == 1:
            yield f"          {last}"
        else:
            first = f"{self.cold.first_seconds / self.direct.seconds:.2f}"
            yield f"          first client done in {first}, last in {last}"


def format_size(size_bytes: float) -> str:
    """`2.0 GiB`: three digits or so, in the largest unit that leaves one before the point."""
    unit = 0
    while abs(size_bytes) >= 1024 and unit < len(_UNITS) - 1:
        size_bytes, unit = size_bytes / 1024, unit + 1
    return f"{size_bytes:.1f} {_UNITS[unit]}" if unit else f"{size_bytes:.0f} {_UNITS[0]}"
