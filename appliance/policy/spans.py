"""Which bytes of a blob are held: a set of spans that never touch one another.

Theory of operation. The set is two sorted lists, the starts and the stops of maximal spans, so
that membership is one bisection and adding a span merges the neighbours it touches. A fill holds
few spans (at most one per connection and reader), so plain lists beat any tree.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from appliance.protocol.ranges import Span


class SpanSet:
    """A mutable set of bytes, kept as maximal half-open spans in ascending order."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for span in spans:
            self.add(span)

    def __iter__(self) -> Iterator[Span]:
        return (Span(start, stop) for start, stop in zip(self._starts, self._stops, strict=True))

    def __len__(self) -> int:
        """The number of maximal spans, not of bytes."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpanSet) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # Mutable.

    def __repr__(self) -> str:
        return f"SpanSet({', '.join(f'[{each.start}, {each.stop})' for each in self)})"

    @property
    def size_bytes(self) -> int:
        return sum(self._stops) - sum(self._starts)

    def add(self, span: Span) -> None:
        """Hold the bytes of `span`, merging every held span that it overlaps or touches."""
        first = bisect_left(self._stops, span.start)
        after = bisect_right(self._starts, span.stop)
        start, stop = span.start, span.stop
        if first < after:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[after - 1])
        self._starts[first:after] = [start]
        self._stops[first:after] = [stop]

    def plus(self, span: Span) -> "SpanSet":
        """A new set that also holds the bytes of `span`."""
        more = SpanSet()
        more._starts, more._stops = self._starts.copy(), self._stops.copy()
        more.add(span)
        return more

    def held_from(self, position: int) -> int:
        """The end of the held bytes that begin at `position`; `position` itself where none do."""
        index = bisect_right(self._starts, position) - 1
        if index >= 0 and self._stops[index] > position:
            return self._stops[index]
        return position

    def covers(self, span: Span) -> bool:
        return self.held_from(span.start) >= span.stop

    def missing(self, within: Span) -> Iterator[Span]:
        """The parts of `within` that are not held, in ascending order."""
        position = within.start
        index = bisect_right(self._stops, position)
        while position < within.stop:
            ahead = self._starts[index] if index < len(self._starts) else within.stop
            if position < ahead:
                yield Span(position, min(ahead, within.stop))
            if index >= len(self._starts):
                return
            position = max(position, self._stops[index])
            index += 1
