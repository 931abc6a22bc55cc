"""The history as bars, and the last two minutes as lines: what left the box, and what was fetched.

Pure: counts in, places and sizes out, in the units of a drawing that the page scales.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.cache.speeds import SPEEDS_MAX, Speed
from appliance.cache.tally import Count
from appliance.web.sizes import format_size

HOURS, DAYS = 24, 30
WIDTH, HEIGHT = 300, 96  # Of the drawing; the bars stand on its bottom.
TOP_MIN = 1_000_000.0  # Bytes a second: a trickle should not look like a flood.
GAP = 0.25  # Of a bar's room, so that bars are told apart.


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour or day. The part from the cache stands on the part from the Internet."""

    label: str
    x: float
    width: float
    cached_y: float
    cached_height: float
    fetched_y: float
    fetched_height: float
    told: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Two areas as paths of SVG, the newest second at the right; `top` is the full height's."""

    served: str
    fetched: str
    top: str


@dataclass(frozen=True, slots=True)
class Graph:
    """`top_bytes` is what the full height stands for; 0 where there is nothing to show."""

    title: str
    bars: tuple[Bar, ...]
    top_bytes: int
    summary: str

    @property
    def first(self) -> str:
        return self.bars[0].label

    @property
    def last(self) -> str:
        return self.bars[-1].label


def draw_hours(by_hour: Mapping[str, Mapping[str, int]], now: float) -> Graph:
    """The last 24 hours, UTC."""
    last = datetime.datetime.fromtimestamp(now, datetime.UTC)
    hours = [last - datetime.timedelta(hours=ago) for ago in reversed(range(HOURS))]
    keys = [(each.strftime("%Y-%m-%dT%H"), each.strftime("%H:00")) for each in hours]
    return _draw("the last 24 hours", keys, by_hour)


def draw_days(by_day: Mapping[str, Mapping[str, int]], now: float) -> Graph:
    """The last 30 days, UTC."""
    last = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    days = [last - datetime.timedelta(days=ago) for ago in reversed(range(DAYS))]
    keys = [(each.isoformat(), f"{each.day} {each:%b}") for each in days]
    return _draw("the last 30 days", keys, by_day)


def draw_speeds(speeds: Sequence[Speed]) -> Trace:
    """The last two minutes, second by second."""
    top = max([TOP_MIN, *(max(each.served, each.fetched) for each in speeds)])
    served = _area([each.served / top for each in speeds])
    return Trace(served, _area([each.fetched / top for each in speeds]), f"{format_size(top)}/s")


def _area(heights: Sequence[float]) -> str:
    """A path that encloses what is below the heights, each a part of the whole; "" for none."""
    if not any(heights):
        return ""
    step = WIDTH / (SPEEDS_MAX - 1)
    first = SPEEDS_MAX - len(heights)
    points = "".join(
        f"L{(first + number) * step:.1f} {HEIGHT * (1 - height):.1f}"
        for number, height in enumerate(heights)
    )
    return f"M{first * step:.1f} {HEIGHT}{points}L{WIDTH} {HEIGHT}Z"


def _draw(
    title: str, keys: list[tuple[str, str]], counts: Mapping[str, Mapping[str, int]]
) -> Graph:
    amounts = [_split(counts.get(key, {})) for key, _ in keys]
    top_bytes = max(cached + fetched for cached, fetched in amounts)
    labels = [label for _, label in keys]
    cached = format_size(sum(each for each, _ in amounts))
    fetched = format_size(sum(each for _, each in amounts))
    summary = f"In {title}: {cached} from the cache, {fetched} from the Internet."
    return Graph(title, tuple(_bars(labels, amounts, top_bytes)), top_bytes, summary)


def _split(counts: Mapping[str, int]) -> tuple[int, int]:
    """From the cache, and from the Internet: what was fetched for nobody yet counts as that."""
    served, fetched = counts.get(Count.SERVED_BYTES, 0), counts.get(Count.FETCHED_BYTES, 0)
    return max(0, served - fetched), fetched


def _bars(labels: list[str], amounts: list[tuple[int, int]], top_bytes: int) -> Iterator[Bar]:
    room = WIDTH / len(labels)
    scale = HEIGHT / top_bytes if top_bytes else 0.0
    for number, (label, (cached, fetched)) in enumerate(zip(labels, amounts, strict=True)):
        cached_height, fetched_height = round(cached * scale, 2), round(fetched * scale, 2)
        yield Bar(
            label,
            round(number * room + room * GAP / 2, 2),
            round(room * (1 - GAP), 2),
            round(HEIGHT - fetched_height - cached_height, 2),
            cached_height,
            round(HEIGHT - fetched_height, 2),
            fetched_height,
            f"{label}: {format_size(cached)} from the cache, {format_size(fetched)} fetched",
        )
