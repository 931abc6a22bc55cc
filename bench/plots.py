"""A small plot as SVG: a cost against an amount, both on logarithmic scales.

Linear growth is then a line that rises as the dashed one does, and what is flat lies flat.
"""

import math
from collections.abc import Sequence
from html import escape

from bench.figures import format_number

WIDTH, HEIGHT = 360, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 28, 30, 36
_INK, _GRID, _LINE = "#444", "#ddd", "#0a6ebd"


def draw(
    title: str, unit_x: str, unit_y: str, amounts: Sequence[float], costs: Sequence[float]
) -> str:
    """The SVG. All numbers must be above 0, and there must be one cost for each amount."""
    assert len(amounts) == len(costs) > 0, "a cost for each amount"
    x = _Scale(amounts, _LEFT, WIDTH - _RIGHT, decades_min=1)
    y = _Scale(costs, HEIGHT - _BOTTOM, _TOP, decades_min=2)
    points = [(x.place(a), y.place(b)) for a, b in zip(amounts, costs, strict=True)]
    path = " ".join(f"{left:.1f},{top:.1f}" for left, top in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="10" fill="{_INK}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="16" font-size="12">{escape(title)}</text>',
        *(_column(x.place(mark), mark) for mark in x.marks()),
        *(_row(y.place(mark), mark) for mark in y.marks()),
        _reference(x, y, amounts[0], costs[0]),
        f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="2"/>',
        *(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{_LINE}"/>' for a, b in points),
        _caption(WIDTH - _RIGHT, HEIGHT - 6, "end", unit_x),
        _caption(4, _TOP - 4, "start", unit_y),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Scale:
    """Places of numbers between two edges, at least so many powers of ten apart."""

    def __init__(
        self, values: Sequence[float], first: float, last: float, *, decades_min: int
    ) -> None:
        assert min(values) > 0, "logarithms"
        self._low = math.floor(math.log10(min(values)))
        high = math.ceil(math.log10(max(values)))
        self.high = max(high, self._low + decades_min)
        self._first, self._last = first, last

    def place(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self.high - self._low)
        return self._first + share * (self._last - self._first)

    def marks(self) -> list[float]:
        return [10.0**power for power in range(self._low, self.high + 1)]


def _column(left: float, mark: float) -> str:
    caption = _caption(left, HEIGHT - _BOTTOM + 12, "middle", format_number(mark))
    return _grid(left, left, _TOP, HEIGHT - _BOTTOM) + caption


def _row(top: float, mark: float) -> str:
    caption = _caption(_LEFT - 4, top + 3, "end", format_number(mark))
    return _grid(_LEFT, WIDTH - _RIGHT, top, top) + caption


def _grid(x1: float, x2: float, y1: float, y2: float) -> str:
    ends = f'x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{_GRID}"/>'


def _reference(x: _Scale, y: _Scale, amount: float, cost: float) -> str:
    """From the first point on, what grew linearly, up to the edge of the plot."""
    decades = min(x.high - math.log10(amount), y.high - math.log10(cost))
    ends = f'x2="{x.place(amount * 10**decades):.1f}" y2="{y.place(cost * 10**decades):.1f}"'
    begins = f'x1="{x.place(amount):.1f}" y1="{y.place(cost):.1f}"'
    return f'<line {begins} {ends} stroke="#999" stroke-dasharray="3 3"/>'


def _caption(left: float, top: float, anchor: str, text: str) -> str:
    return f'<text x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
