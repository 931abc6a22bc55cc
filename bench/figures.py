"""Numbers out of numbers: medians, percentiles, how a cost grows, and how all that is written."""

import math
from collections.abc import Sequence

_DIGITS = 3  # More would be noise.


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` (0 to 1) of all do not exceed. Of none: not a number."""
    if not values:
        return math.nan
    rank = math.ceil(share * len(values))
    return sorted(values)[max(rank, 1) - 1]


def growth_exponent(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """The power of the amount that the cost grows with: 0 is flat, 1 linear, 2 quadratic.

    It is the slope of the best line through the logarithms, where there are two amounts or more.
    """
    points = [
        (math.log(x), math.log(y)) for x, y in zip(amounts, costs, strict=True) if x > 0 and y > 0
    ]
    if len({x for x, _ in points}) < 2:
        return math.nan
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    rise = sum((x - middle_x) * (y - middle_y) for x, y in points)
    return rise / sum((x - middle_x) ** 2 for x, _ in points)


def format_number(value: float | None) -> str:
    """Three digits that count, no exponent; a dash for what is not known."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    places = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    rounded = round(value, places)
    return f"{rounded:,.{max(0, places)}f}" if abs(rounded) < 1000 else f"{rounded:,.0f}"
