"""What a fill fetches next.

Today's plan is the plain one: the first bytes that are missing, up to the next ones that are held,
in one request. It is a function of what is held and of nothing else, so that readers, however
many and wherever they stand, never cause a byte to be fetched twice.
"""

from appliance.policy.spans import SpanSet
from appliance.protocol.ranges import Span


def plan_run(size_bytes: int, held: SpanSet) -> Span | None:
    """The next run to fetch of a blob of `size_bytes`, or None when all of it is held."""
    if size_bytes == 0:
        return None
    return next(held.missing(Span(0, size_bytes)), None)
