"""Warming: a blob made whole with no client behind it, as a pull that keeps nothing would do it.

It is an ordinary reader at the front of an ordinary fill: whoever pulls the same blob meanwhile
shares the download, and the download goes on should whoever asked for it leave.
"""

from collections.abc import AsyncGenerator

from appliance.cache.pulls import Cache
from appliance.protocol.digest import Digest
from appliance.protocol.errors import Verdict
from appliance.protocol.ranges import Span
from appliance.protocol.reference import Repository


class WarmingError(Exception):
    """A blob did not become whole; the message says why."""

    hint = "the box's log says more; ask again later"


async def warm_blob(
    cache: Cache,
    repository: Repository,
    digest: Digest,
    size_bytes: int,
    *,
    is_background: bool = False,
) -> AsyncGenerator[int]:
    """Have the blob complete and verified; yield how many bytes from its start are here by now.

    `is_background`: nobody waits for it, so it may be paused.

    Raises:
        WarmingError: there is no room for it, or its bytes do not come or are not its own.
    """
    if not size_bytes or cache.is_held(digest):
        yield size_bytes
        return
    try:
        reader = await cache.open_blob(
            repository, digest, size_bytes, Span(0, size_bytes), is_background=is_background
        )
    except Verdict as verdict:
        raise WarmingError(verdict.message) from verdict
    fill = cache.find_fill(digest)
    try:
        async for span in reader.spans():
            yield span.stop
        if fill is not None:
            await fill.over.wait()  # Its digest is checked at the end: until then nothing is sure.
    finally:
        reader.close()
    if not cache.is_held(digest):
        fault = None if fill is None else fill.fault
        raise WarmingError(f"{digest} is not kept: {fault or 'there is no room for it'}")
