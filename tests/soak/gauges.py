"""Memory and descriptors of the box's processes, as the kernel counts them.

Theory of operation. A leak shows in time, so the box's last life, which nobody cuts short, is cut
into thirds. The first is spent growing to size; in the last the median must be within a tenth and
ten megabytes of the middle one's. Descriptors follow the clients, so they are judged at rest: once
everybody has gone, and connections that are kept alive have timed out, there must be no more of
them than before anybody came.
"""

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.demo.box import BoxProcess

SAMPLE_SECONDS = 0.5
GROWTH_SHARE = 0.10
GROWTH_BYTES = 10_000_000
REST_SECONDS = 90.0  # Longer than any connection is kept alive.
SETTLE_SECONDS = 1.0  # In which a box that has just started comes to rest.
_KIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """A process at a monotonic instant."""

    at: float
    rss_bytes: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Flatness:
    """Median memory in the two later thirds of the last life."""

    middle_bytes: int
    last_bytes: int
    peak_bytes: int
    seconds: float

    @property
    def is_flat(self) -> bool:
        return self.last_bytes <= self.middle_bytes * (1 + GROWTH_SHARE) + GROWTH_BYTES


def judge_memory(samples: Sequence[Sample]) -> Flatness:
    """The medians of `samples` of one life, oldest first; at least three."""
    began, ended = samples[0].at, samples[-1].at
    third = (ended - began) / 3
    middle = [each.rss_bytes for each in samples if third <= each.at - began < 2 * third]
    last = [each.rss_bytes for each in samples if each.at - began >= 2 * third]
    return Flatness(
        middle_bytes=int(statistics.median(middle)),
        last_bytes=int(statistics.median(last)),
        peak_bytes=max(each.rss_bytes for each in samples),
        seconds=ended - began,
    )


class Gauges:
    """Samples the box, and its DNS, until cancelled."""

    def __init__(self, box: BoxProcess) -> None:
        self._box = box
        self.box_samples: list[Sample] = []
        self.dns_samples: list[Sample] = []

    async def watch(self) -> None:
        """Sample for ever."""
        while True:
            self._sample(self._box.pid, self.box_samples)
            self._sample(self._dns_pid, self.dns_samples)
            await asyncio.sleep(SAMPLE_SECONDS)

    async def rest(
        self, is_idle: Callable[[int, int], bool], seconds_max: float
    ) -> tuple[int, int]:
        """Wait until descriptors of box and DNS are as `is_idle` wants; returns them."""
        deadline = time.monotonic() + seconds_max
        while True:
            now = _count_descriptors(self._box.pid), _count_descriptors(self._dns_pid)
            if is_idle(*now) or time.monotonic() > deadline:
                return now
            await asyncio.sleep(SAMPLE_SECONDS)

    async def idle(self) -> tuple[int, int]:
        """The descriptors of a box that has just started, and of its DNS."""
        await asyncio.sleep(SETTLE_SECONDS)
        return _count_descriptors(self._box.pid), _count_descriptors(self._dns_pid)

    def kinds(self) -> Counter[str]:
        """What the descriptors of the box are: sockets and pipes together, files by name."""
        kinds = Counter[str]()
        for link in Path(f"/proc/{self._box.pid}/fd").iterdir():
            with suppress(OSError):
                kinds[str(link.readlink()).partition(":[")[0]] += 1
        return kinds

    @property
    def _dns_pid(self) -> int:
        text = (self._box.state_directory / "dns.lock").read_text("ascii").strip()
        return int(text or "0")

    def _sample(self, pid: int, into: list[Sample]) -> None:
        with suppress(OSError):  # It is being killed.
            into.append(Sample(time.monotonic(), _read_rss(pid), _count_descriptors(pid)))


def _read_rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * _KIB
    raise ProcessLookupError(pid)  # It has ended, and was not waited for.


def _count_descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
